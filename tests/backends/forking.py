import faulthandler
import multiprocessing
import signal
import sys
import warnings

# How many seconds a process or a thread has for what a test asks of it.
TIMEOUT = 60


def end_in_time():
    """Have this process show where it hangs and end after TIMEOUT."""
    faulthandler.register(signal.SIGALRM, sys.__stderr__, chain=True)
    signal.alarm(TIMEOUT)


def start_fork(func):
    """Fork a process that calls func(pipe). Return it and the pipe to it."""
    context = multiprocessing.get_context("fork")
    pipe, child_pipe = context.Pipe()

    def child():
        end_in_time()
        func(child_pipe)

    process = context.Process(target=child)
    parent = multiprocessing.current_process()
    # The parallel test runner's workers are daemonic, so can't have children.
    daemon, parent.daemon = parent.daemon, False
    with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
        # Python 3.12+ warns against forking a process that has threads.
        process.start()
    parent.daemon = daemon
    child_pipe.close()
    return process, pipe


def run_in_fork(func):
    """Return the result of calling func() in a forked process."""
    process, pipe = start_fork(lambda pipe: pipe.send(func()))
    result = pipe.recv()
    process.join()
    if process.exitcode == -signal.SIGALRM:
        raise AssertionError(f"The child process didn't end in {TIMEOUT}s.")
    return result
