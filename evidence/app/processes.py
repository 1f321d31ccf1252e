"""
What processes do that were started after a query:

    python -m app.processes [CASE]
"""

import asyncio
import ctypes
import os
import subprocess
import sys

from app import recipes
from app.child import (
    BOTH,
    LIMIT,
    OWN,
    PARENTS,
    POOL,
    asked,
    case,
    configured,
    in_child,
    main,
    outcome,
    session,
    values,
    whose,
    wrapper,
)

LOCK = 36957
ROLE = "SELECT current_setting('app.role', true)"


@case(
    "ask after `connections.close_all()`",
    f"{PARENTS}; its parent's transaction is lost",
    OWN,
    [POOL],
)
def close_all():
    """Ask after what many hooks call."""
    configured()
    from django.db import connections

    return asked(connections.close_all)


@case(
    "the same with a pool",
    f"{PARENTS}; {PARENTS} is lost",
    f"a session of its own; {PARENTS} is lost",
    [POOL],
)
@case(
    "ask where `register_at_fork(before=connections.close_all)` was called",
    f"a session of its own; {PARENTS} is lost",
    f"a session of its own; {PARENTS} is lost",
)
def closed_before():
    """Ask where the parent closes its connections before it forks."""
    configured()
    from django.db import connections

    os.register_at_fork(before=connections.close_all)
    return asked()


@case("ask where C code forked, as uWSGI's does, without a hook", PARENTS, OWN)
def forked_in_c():
    """Ask in a process that Python wasn't told of."""
    configured()
    return asked(fork=ctypes.PyDLL(None).fork)


@case(
    "ask, as a daemon of python-daemon, which closes all descriptors",
    "OperationalError: connection socket closed",
    OWN,
    BOTH,
    packages=["python-daemon==3.1.2"],
)
def daemon():
    """Ask in a daemon, which closes all descriptors that it inherits."""
    configured()
    parent = session()
    reader, writer = os.pipe()

    def work():
        os.write(writer, outcome(lambda: whose(session(), parent)).encode())

    become = recipes.follow("A daemon")["become"]
    in_child(lambda: become(work, files_preserve=[writer]))
    return os.read(reader, 1000).decode()


@case("take an advisory lock that its parent has", "taken", "refused", BOTH)
def advisory_lock():
    """Take a lock of the session which the parent has."""
    configured()
    take = recipes.follow("An advisory lock")["take"]
    take(LOCK)
    return in_child(lambda: "taken" if take(LOCK) else "refused")


@case(
    "be notified where each connection listens, as in the recipe",
    "notified",
    "notified",
    BOTH,
)
def listened_anew():
    """The same where each new connection listens."""
    configured()
    recipes.follow("A loop that listens")
    session()
    return in_child(_notify)


def _notify():
    values("NOTIFY news")
    for notification in wrapper().connection.notifies(timeout=1):
        return "notified"
    return "nothing"


@case(
    "act as another user, as in the recipe",
    f"{PARENTS}, as one",
    f"{OWN}, as one",
    BOTH,
)
def session_state():
    """Ask through a backend that knows what it has set."""
    configured("app.backend")
    wrapper().act_as("one")

    def known():
        wrapper().act_as("one")
        return f", as {values(ROLE)[0]}"

    return asked(known=known)


@case(
    "ask through the asynchronous ORM, which its parent has used",
    "hangs",
    "hangs",
)
def asynchronous():
    """Ask through the asynchronous ORM, as the parent did."""
    configured(
        INSTALLED_APPS=["app.started"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    from app.started.models import Row

    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)

    def ask():
        asyncio.run(Row.objects.acount())
        return "an answer"

    ask()
    return in_child(ask)


@case("the same with a new executor, as in the recipe", "an answer", "an answer", BOTH)
def asynchronous_renewed():
    """The same where a child renews asgiref's executor."""
    recipes.follow("Async")
    return asynchronous()


@case(
    "ask in a `TestCase`",
    f"{PARENTS}, 1 of 1 rows",
    "ProgrammingError: Cannot open a new connection in an atomic block.",
    BOTH,
)
def test_case():
    """Ask in a TestCase."""
    output = _ran("django", "test", "app.started.tests").stdout
    return output.partition("child: ")[2].partition("\n")[0] or output


@case("be started by a test, as in the recipe", "it fails", "it passes", BOTH)
def started():
    """Start a process in a test, as its recipe says."""
    process = _ran("django", "test", "app.started.recipe")
    return "it fails" if process.returncode else "it passes"


def _ran(*command):
    return subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "app.started.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT / 2,
    )


if __name__ == "__main__":
    main(globals())
