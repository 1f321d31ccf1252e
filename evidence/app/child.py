"""What cases do: something in a child that is forked for it."""

import os
import select
import signal

# In seconds, until a child is said to hang, and until a case is ended.
PATIENCE, LIMIT = 2, 20

OWN, PARENTS = "a session of its own", "its parent's session"


def run(functions, case):
    """Print what that of the `functions` returns which is named `case`."""
    signal.alarm(LIMIT)
    print(functions[case]())


def in_child(function, fork=os.fork, meanwhile=lambda: None):
    """
    Return what `function()` returns in a process that is forked for it, or the
    exception that it raises there, or that it hangs; this process calls
    `meanwhile()`.
    """
    reader, writer = os.pipe()
    if (pid := fork()) == 0:
        try:
            signal.alarm(LIMIT)
            os.write(writer, outcome(function).encode())
        finally:
            os._exit(0)
    try:
        meanwhile()
        ready, _, _ = select.select([reader], [], [], PATIENCE)
        return os.read(reader, 1000).decode() if ready else "hangs"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def outcome(function):
    """Return what `function()` returns, or the exception that it raises."""
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def session(wrapper=None):
    """Return the server session that `wrapper`, or the default one, has."""
    from django.db import connection

    with (wrapper or connection).cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def whose(session, parent):
    """Return in words whose `session` it is, given that of the `parent`."""
    return PARENTS if session == parent else OWN
