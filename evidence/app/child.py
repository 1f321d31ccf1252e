"""What cases do: something in a child that is forked for it."""

import json
import os
import select
import signal
import sys
from contextlib import suppress

# In seconds, until a child is said to hang, and until a case is ended.
PATIENCE, LIMIT = 4, 20

SESSIONS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
TRANSACTION = "SELECT pg_current_xact_id()"

OWN, PARENTS = "a session of its own", "its parent's session"


POOL, PERSISTENT = "pool", "persistent"
BOTH = [POOL, PERSISTENT]

CASES = []


def case(what, official, patched, connections=(PERSISTENT,), packages=()):
    """
    Have the decorated function be a case: `what` a child does, and what that
    comes to on official Django and on patched Django, which the function
    returns; with each of `connections` and the `packages`.
    """

    def add(function):
        name = function.__name__
        CASES.append([name, what, official, patched, connections, packages])
        return function

    return add


def main(functions):
    """Print the cases as JSON, or what the one returns that is named."""
    if len(sys.argv) == 1:
        print(json.dumps(CASES))
    else:
        signal.alarm(LIMIT)
        print(functions[sys.argv[1]]())


def configured(engine="django.db.backends.postgresql", opened=True, **options):
    """
    Use the database of app.settings through `engine`, with its pool `opened`,
    if it has one, and the `options`, which are settings.
    """
    # Only now, as gevent wants to be first.
    from app.settings import DATABASE, DATABASES

    import django
    from django.conf import settings

    DATABASE["ENGINE"] = engine
    settings.configure(DATABASES=DATABASES, SECRET_KEY="evidence", **options)
    django.setup()
    if opened:
        # Else it begins some of its sessions later. Other packages' pools have
        # no such method.
        with suppress(AttributeError):
            wrapper().pool.open(wait=True)


def asked(first=lambda: None, known=lambda: "", fork=os.fork):
    """
    Return in words whose session a child of `fork()` has after it called
    `first()`, what `known()` returns there, and what its parent, which is in a
    transaction, has lost.
    """

    def child():
        first()
        return f"{whose(session(), *parents)}{known()}"

    parent = session()
    parents = values(SESSIONS)
    values("BEGIN")
    transaction = values(TRANSACTION)
    found = in_child(child, fork)
    if outcome(session) != parent:
        return f"{found}; {PARENTS} is lost"
    if values(TRANSACTION) != transaction:
        return f"{found}; its parent's transaction is lost"
    return found


def in_child(function, fork=os.fork):
    """
    Return what `function()` returns in a process that `fork()` made for it, or
    the exception that it raises there, or that it hangs.
    """
    reader, writer = os.pipe()
    if (pid := fork()) == 0:
        try:
            signal.alarm(LIMIT)
            os.write(writer, outcome(function).encode())
        finally:
            os._exit(0)
    # So that its end is noticed, if it ends without a word.
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], PATIENCE)
        return os.read(reader, 1000).decode() if ready else "hangs"
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def outcome(function):
    """Return what `function()` returns, or the exception that it raises."""
    try:
        return function()
    except Exception as error:
        reason, *_ = str(error).splitlines() or [""]
        return f"{type(error).__name__}: {reason}"


def wrapper():
    """Return the default connection, of Django's."""
    # Only now, as gevent wants to be first.
    from django.db import connection

    return connection


def session(wrapper=None):
    """Return the server session of `wrapper`, or of the default one."""
    (found,) = values("SELECT pg_backend_pid()", wrapper)
    return found


def values(query, connection=None):
    """Return the first column of the rows of `query`."""
    with (connection or wrapper()).cursor() as cursor:
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


def whose(session, *parents):
    """Return in words whose `session` it is, given those of the `parents`."""
    return PARENTS if session in parents else OWN
