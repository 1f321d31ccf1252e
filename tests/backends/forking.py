import contextlib
import faulthandler
import gc
import io
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings

# How many seconds a forked process has for what a test asks of it.
TIMEOUT = 10


@contextlib.contextmanager
def forked(func):
    """
    Call func(pipe) in a forked process, which is killed on exit, and yield it
    along with its pipe's other end.
    """
    context = multiprocessing.get_context("fork")
    pipe, child_pipe = context.Pipe()
    process = context.Process(target=_child, args=(func, child_pipe, pipe))
    parent = multiprocessing.current_process()
    daemon = parent.daemon
    # The parallel test runner's workers are daemonic, which prevents them from
    # having child processes.
    parent.daemon = False
    try:
        with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
            # Python 3.12+ warns against forking a process that has threads.
            process.start()
    finally:
        parent.daemon = daemon
    child_pipe.close()
    try:
        yield process, pipe
    finally:
        process.kill()
        process.join()
        process.close()
        pipe.close()


def _child(func, pipe, parent_pipe):
    parent_pipe.close()
    end_in_time()
    func(pipe)


def end_in_time():
    """Have this process show where it hangs and end after TIMEOUT."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.register(signal.SIGALRM, sys.__stderr__, chain=True)
    signal.alarm(TIMEOUT)


def receive(pipe):
    """Return what the other process sends, or raise AssertionError."""
    if not pipe.poll(TIMEOUT):
        raise AssertionError(f"No answer from the other process in {TIMEOUT}s.")
    try:
        return pipe.recv()
    except EOFError:
        raise AssertionError("The other process died without an answer.") from None


def run_in_fork(func):
    """
    Return the result of calling func() in a forked process. Raise
    AssertionError with the child's traceback if it raises an exception, or if
    it doesn't end in time.
    """

    def child(pipe):
        pipe.send(_outcome(func))

    with forked(child) as (process, pipe):
        result, error = receive(pipe)
        process.join(TIMEOUT)
        if process.exitcode is None:
            raise AssertionError(f"The child process didn't end in {TIMEOUT}s.")
    if error:
        raise AssertionError(f"In the child process:\n{error}")
    return result


@contextlib.contextmanager
def script(source, *args):
    """
    Start a Python script, and kill it on exit along with all that it forked.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", source, *args],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            # What it forked belongs to its session.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run_script(source, *args):
    """
    Return the standard output of a Python script, which forks and whose
    processes end as Python's do. Raise AssertionError if it doesn't end in
    time or has any other output.
    """
    with script(source, *args) as process:
        try:
            stdout, stderr = process.communicate(timeout=2 * TIMEOUT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"The script didn't end in {2 * TIMEOUT}s.") from None
    if stderr:
        raise AssertionError(f"The script's standard error:\n{stderr}")
    return stdout


def _outcome(func):
    try:
        return func(), None
    except BaseException:
        return None, traceback.format_exc()


@contextlib.contextmanager
def in_thread(manager):
    """Have another thread enter a context manager, and leave it on exit."""
    entered, leave = threading.Event(), threading.Event()

    def run():
        with manager:
            entered.set()
            leave.wait()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        if not entered.wait(TIMEOUT):
            raise AssertionError(f"The thread didn't get there in {TIMEOUT}s.")
        yield
    finally:
        leave.set()
        thread.join()


@contextlib.contextmanager
def captured_logs():
    """
    Yield a stream of what is logged about wrappers, in a forked process as
    well, which has a copy of it.
    """
    # Those of other tests may be broken.
    gc.collect()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("django.db.backends.base")
    logger.addHandler(handler)
    try:
        yield stream
    finally:
        logger.removeHandler(handler)


def wait_until(condition, seconds=TIMEOUT):
    """Raise AssertionError if condition() isn't true within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"It wasn't the case within {seconds}s.")
        time.sleep(0.01)


def descriptor_of(connection):
    """Return the descriptor of a driver's connection."""
    # PyMySQL's has no fileno(), but its socket has.
    return getattr(connection, "_sock", connection).fileno()


def socket_of(connection):
    """Return what identifies the socket of a driver's connection."""
    return os.fstat(descriptor_of(connection)).st_ino
