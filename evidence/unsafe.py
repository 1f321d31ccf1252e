"""What is still not safe after fork(), each case run on stock and the fork."""

import contextlib
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from checks.databases import postgresql
from checks.databases.redis import redis
from evidence import lifecycle, series, trial
from overlay.console import say
from overlay.errors import OverlayError

PACKAGES = ("packaging==26.3", "redis==8.1.0")

# In seconds, for a case; it ends itself before.
LIMIT = 30

HEADER = ("In a child, to", trial.STOCK, trial.FORK)

# The case that needs a Redis.
REDIS = "redis_cache"

OWN, PARENTS = "a session of its own", "its parent's session"
CLOSED = "OperationalError: the connection is closed"
NO_SOCKET = "OperationalError: ...: Socket operation on non-socket"


class Case(NamedTuple):
    """
    A case: the function of app.unsafe that runs it, what the child does, and
    what it comes to on stock Django and on the fork.
    """

    function: str
    what: str
    stock: str
    fork: str


CASES = [
    Case("query", "ask the database", PARENTS, OWN),
    Case(
        "atomic_block",
        "ask the database inside the parent's `atomic()` block",
        PARENTS,
        "ProgrammingError: Cannot open a new connection in an atomic block.",
    ),
    Case(
        "atomic_block_and_new_wrapper",
        "the same after `del connections[alias]`",
        OWN,
        OWN,
    ),
    Case(
        "session_state",
        "use a temporary table of the parent's",
        "the table",
        'ProgrammingError: relation "of_the_parent" does not exist',
    ),
    Case(
        "advisory_lock",
        "look for an advisory lock that the parent took",
        "1 of 1 locks",
        "0 of 1 locks",
    ),
    Case(
        "half_read_cursor",
        "go on with an `iterator()` that the parent has begun",
        "row 2",
        CLOSED,
    ),
    Case(
        "driver_connection",
        "use a driver's connection that was kept",
        PARENTS,
        NO_SOCKET,
    ),
    Case(
        "wrappers_connection",
        "reach into `connection.connection` before the first query",
        PARENTS,
        "AttributeError: 'NoneType' object has no attribute 'info'",
    ),
    Case(
        "new_connection",
        "use a connection that `connection.get_new_connection()` returned",
        PARENTS,
        PARENTS,
    ),
    Case(
        "other_pool",
        "use a backend with a pool of its own that the parent returned a connection to",
        PARENTS,
        NO_SOCKET,
    ),
    Case(
        "drop_database",
        "stay connected to a database that the parent drops (`test --parallel`, "
        "processes that tests started)",
        "it is dropped",
        'OperationalError: database "dropped" is being accessed by other users',
    ),
    Case(
        "descriptors",
        "have a child of its own that uses the pool, with 4 connections, as both do",
        "hangs",
        "4 more descriptors",
    ),
    Case(
        "sqlite_file",
        "write to a file of SQLite to which the parent is writing",
        "a row in its parent's transaction",
        "OperationalError: database is locked",
    ),
    Case(
        "sqlite_closed",
        "commit to a file of SQLite in WAL mode, once before and once after the parent "
        "closes it",
        "1 of 2 rows",
        "2 of 2 rows",
    ),
    Case(
        "fork_in_c_and_close",
        "ask the database after a fork in C and `close_old_connections()`",
        PARENTS,
        OWN,
    ),
    Case(
        "fork_in_c",
        "the same without `close_old_connections()`",
        PARENTS,
        PARENTS,
    ),
    Case(REDIS, "use Django's cache in Redis", OWN, OWN),
    *(
        Case(function, what, outcome, outcome)
        for function, what, outcome in (
            (
                "other_socket",
                "read from another library's socket, here of an HTTP client",
                "the answer to /asked-by-the-parent",
            ),
            ("executor", "submit to a `ThreadPoolExecutor` of the parent's", "hangs"),
            (
                "lock",
                "acquire a lock that another thread held during the fork",
                "hangs",
            ),
        )
    ),
]


def differences(version):
    """
    Run the cases with Django `version`, say what came of each, and return why
    they aren't what CASES say: a list of sentences, empty if they are. Raise
    OverlayError where one can't be run.
    """
    djangos, _ = series.djangos(version)
    python = series.interpreter(PACKAGES)
    reasons = []
    with (
        postgresql.embedded(tcp=True) as database,
        _redis() as (address, missing),
    ):
        for case in CASES:
            if missing and case.function == REDIS:
                say(f"{case.what}: not run: {missing}")
                continue
            for django in HEADER[1:]:
                setup = trial.Setup(case.function, trial.PERSISTENT, django)
                outcome = _outcome(setup, python, djangos[django], database, address)
                say(f"{case.what}, {django}: {outcome}")
                if outcome != (expected := getattr(case, django)):
                    reasons.append(
                        f"{case.function} on {django}: {outcome}, not {expected}."
                    )
    return reasons


@contextlib.contextmanager
def _redis():
    """
    Yield the address of a Redis and None, or None and why there is none. In CI
    it has to be there: raise OverlayError.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(redis()), None
        except OverlayError as error:
            if os.environ.get("CI"):
                raise
            found = None, error
        yield found


def _outcome(setup, python, packages, database, redis):
    with tempfile.TemporaryDirectory(prefix="evidence-") as directory:
        environ = trial.environ(setup, packages, database, directory) | {
            "DJANGO_SETTINGS_MODULE": "app.unsafe_settings",
            "EVIDENCE_REDIS": f"unix://{redis}",
            # That a process with threads is forked.
            "PYTHONWARNINGS": "ignore",
        }
        deadline = time.monotonic() + LIMIT
        tried = lifecycle.Trial(
            python, 0, False, deadline, Path(directory), environ, None
        )
        with lifecycle.started(
            tried, [python, "-m", "app.unsafe", setup.server]
        ) as case:
            with contextlib.suppress(subprocess.TimeoutExpired):
                case.wait(LIMIT)
        return (tried.log.read_text(errors="replace").splitlines() or ["nothing"])[-1]


def rows():
    """Return the rows of the table below HEADER, as strings."""
    return [(case.what, case.stock, case.fork) for case in CASES]
