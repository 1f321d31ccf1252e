"""
Do what checks.model says, in a process whose children do so as well:

    python -W ignore actor.py DATABASE ADDRESS

DATABASE is JSON, as in Django's DATABASES. Each process connects to the Unix
socket ADDRESS, introduces itself by its id, and takes commands, which are
lists in lines of JSON: the name of a function below and its arguments. It
answers what the function returns and the session that it has then, or the name
of the error.
"""

import json
import os
import signal
import socket
import sys
import threading

import django
from django.conf import settings

settings.configure(DATABASES={"default": json.loads(sys.argv[1])})
django.setup()

from django.db import (  # noqa: E402
    Error,
    close_old_connections,
    connection,
    connections,
    transaction,
)

# In seconds, for what is to be done.
PATIENCE = 30

# The sockets on which it is said what to do.
controls = []
# The blocks that were entered, of all processes up to this one.
blocks = []
# What was called on commit in this process.
called = []
# The drivers' connections of the processes that it was forked from.
inherited = []


def session(wrapper=connection):
    """Query, and return what identifies the server's session."""
    query = {"postgresql": "SELECT pg_backend_pid()"}.get(wrapper.vendor, "SELECT 1")
    with wrapper.cursor() as cursor:
        cursor.execute(query)
        (number,) = cursor.fetchone()
    if any(wrapper.connection is each for each in inherited):
        return "its parent's"
    return f"{os.getpid()}" if wrapper.vendor == "sqlite" else number


def held():
    """Return the session that the connection has, without a query, if any."""
    raw = connection.connection
    if raw is not None and connection.vendor == "postgresql" and not raw.closed:
        return raw.info.backend_pid


def in_thread(func, *args):
    """Return what a function returns in another thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(func(*args)))
    thread.start()
    thread.join()
    return results[0]


def query():
    return session()


def query_in_thread():
    def run():
        try:
            return session(connections["default"])
        finally:
            connections["default"].close()

    return in_thread(run)


def query_copy():
    wrapper = connections["default"].copy()
    try:
        return session(wrapper)
    finally:
        wrapper.close()


def insert(key):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO model VALUES (%s)", [key])


def rows(first):
    with connection.cursor() as cursor:
        cursor.execute("SELECT key FROM model WHERE key >= %s", [first])
        return [key for (key,) in cursor.fetchall()]


def on_commit(key):
    transaction.on_commit(lambda: called.append(key))


def calls():
    return called


def enter(savepoint):
    block = transaction.atomic(savepoint=savepoint)
    block.__enter__()
    blocks.append(block)


def leave(failing):
    error = RuntimeError("failing") if failing else None
    blocks.pop().__exit__(type(error) if error else None, error, None)


def set_autocommit(autocommit):
    connection.set_autocommit(autocommit)


def commit():
    connection.commit()


def rollback():
    connection.rollback()


def close():
    connection.close()


def close_all():
    connections.close_all()


def close_old():
    close_old_connections()


def close_pool():
    connection.close_pool()


def fork():
    raw = connection.connection
    if pid := os.fork():
        return pid
    if raw is not None:
        inherited.append(raw)
    called.clear()
    obey()


def fork_in_thread():
    def run():
        try:
            return fork()
        except SystemExit:
            # The end of a thread isn't that of a process whose pool has some.
            os._exit(0)

    return in_thread(run)


def fork_in_c():
    import _imp
    import ctypes

    raw = connection.connection
    # Python 3.13+ wants it to be held there.
    _imp.acquire_lock()
    pid = ctypes.PyDLL(None).fork()
    _imp.release_lock()
    if pid:
        return pid
    if raw is not None:
        inherited.append(raw)
    called.clear()
    obey()


def end(how):
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "_exit":
        os._exit(0)
    raise SystemExit


def obey():
    """Do what is said, in this process, until that ends."""
    # Whoever waits for the end of its parent would wait for this process.
    with open(os.devnull, "r+b") as null:
        for control in controls:
            os.dup2(null.fileno(), control.fileno())
    controls.clear()
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(sys.argv[2])
        controls.append(control)
        said = control.makefile("rw")
        print(json.dumps(os.getpid()), file=said, flush=True)
        for line in said:
            signal.alarm(PATIENCE)
            name, *arguments = json.loads(line)
            try:
                answer = {"answer": globals()[name](*arguments), "session": held()}
            except Error as error:
                answer = {"error": type(error).__name__}
            signal.alarm(0)
            print(json.dumps(answer), file=said, flush=True)
    raise SystemExit


if __name__ == "__main__":
    # Nobody waits for the children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    obey()
