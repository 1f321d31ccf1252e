import _imp
import ctypes
import multiprocessing
import os
import signal
import traceback

from backends.forking import end_in_time, receive

from django.db import connections


def close_pools():
    """
    Close all pools, as Python itself can hang or crash if a process that has
    threads is forked in C.
    """
    for wrapper in connections.all(initialized_only=True):
        wrapper.close()
        getattr(wrapper, "close_pool", wrapper.close)()


def run_in_c_fork(func, child_hook=False):
    """
    Return the result of calling func() in a process that is forked in C, as
    uWSGI does, without any at-fork hook but possibly the child's.
    """
    pipe, child_pipe = multiprocessing.Pipe()
    # Python 3.13+ requires it for PyOS_AfterFork_Child(), which releases it.
    _imp.acquire_lock()
    if (pid := ctypes.PyDLL(None).fork()) == 0:
        try:
            end_in_time()
            if child_hook:
                ctypes.pythonapi.PyOS_AfterFork_Child()
            else:
                _imp.release_lock()
            try:
                child_pipe.send((func(), None))
            except BaseException:
                child_pipe.send((None, traceback.format_exc()))
        finally:
            os._exit(0)
    _imp.release_lock()
    child_pipe.close()
    try:
        result, error = receive(pipe)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pipe.close()
    if error:
        raise AssertionError(f"In the child process:\n{error}")
    return result
