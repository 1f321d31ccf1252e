import contextlib
import os
import socket
import subprocess
import sys
import threading
from unittest import mock

from backends.forking import TIMEOUT, start_fork

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper


@contextlib.contextmanager
def forked(func):
    """Yield what start_fork(func) returns, and kill the process on exit."""
    process, pipe = start_fork(func)
    try:
        yield process, pipe
    finally:
        process.kill()
        process.join()


def run_script(source, *args):
    """
    Return the standard output of a Python script, which forks and whose
    processes end as Python's do. Raise an error if it doesn't end in time or
    has any other output.
    """
    process = subprocess.run(
        [sys.executable, "-c", source, *args],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
    )
    if process.stderr:
        raise AssertionError(f"The script's standard error:\n{process.stderr}")
    return process.stdout


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


def open_sockets(*connections):
    """
    Return a function for a forked process, which returns the descriptors of
    these drivers' connections that are still their sockets'.
    """
    inodes = {raw.fileno(): os.fstat(raw.fileno()).st_ino for raw in connections}
    return lambda: [fd for fd in inodes if os.fstat(fd).st_ino == inodes[fd]]


class DriverConnection:
    """A connection that doesn't say which socket it uses."""


class UnknownWrapper(BaseDatabaseWrapper):
    """A third-party backend that knows nothing of fork()."""

    client_class = mock.Mock
    creation_class = mock.Mock
    features_class = mock.Mock
    introspection_class = mock.Mock
    ops_class = mock.Mock

    def __init__(self):
        super().__init__({}, "fork")
        self.connection = DriverConnection()


class SocketConnection:
    """A connection that says which socket it uses."""

    def __init__(self):
        self.socket, self.server = socket.socketpair()

    def fileno(self):
        return self.socket.fileno()

    def close(self):
        self.socket.close()
        self.server.close()


class SocketWrapper(UnknownWrapper):
    def __init__(self):
        super().__init__()
        self.connection = None
        self.settings_dict = {**connection.settings_dict, "CONN_MAX_AGE": None}

    def get_connection_params(self):
        return {}

    def get_new_connection(self, conn_params):
        return SocketConnection()

    def init_connection_state(self):
        pass

    def _set_autocommit(self, autocommit):
        pass


def socket_wrapper(test, wrapper_class=SocketWrapper):
    """Return a connected wrapper and its connection."""
    wrapper = wrapper_class()
    wrapper.connect()
    test.addCleanup(wrapper.connection.close)
    # The children of other tests may inherit it, too.
    test.addCleanup(setattr, wrapper, "connection", None)
    return wrapper, wrapper.connection
