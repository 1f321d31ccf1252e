"""What a child does after fork(), in cases: each on stock and on the fork."""

import contextlib
import os
import subprocess
import time
from typing import NamedTuple

from checks.databases import postgresql
from checks.databases.redis import redis
from evidence import lifecycle, series, trial
from overlay import OverlayError, say

# In seconds, for a case; it ends itself before.
LIMIT = 30

DJANGOS = (trial.STOCK, trial.FORK)

OWN, PARENTS = "a session of its own", "its parent's session"


class Case(NamedTuple):
    """
    A case: the function that runs it, what is done, what that comes to on
    stock Django and on the fork, with which connections and packages, and
    whether it needs a Redis.
    """

    function: str
    what: str
    stock: str
    fork: str
    connections: tuple = (trial.PERSISTENT,)
    packages: tuple = ()
    redis: bool = False


def differences(module, cases, version):
    """
    Run the `cases`, whose functions are in app's `module`, with Django
    `version`, say what came of each, and return why that isn't what they say:
    a list of sentences, empty if it is. Raise OverlayError where one can't be
    run.
    """
    djangos, _ = series.djangos(version)
    pythons = {
        packages: series.interpreter(packages)
        for packages in dict.fromkeys(case.packages for case in cases)
    }
    reasons = []
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(postgresql.embedded(tcp=True))
        address, missing = None, None
        if any(case.redis for case in cases):
            address, missing = stack.enter_context(_redis())
        for case in cases:
            if case.redis and missing:
                say(f"{case.what}: not run: {missing}")
                continue
            for connections in case.connections:
                for django in DJANGOS:
                    setup = trial.Setup(case.function, connections, django)
                    with trial.prepared(
                        setup,
                        pythons[case.packages],
                        djangos[django],
                        database,
                        time.monotonic() + LIMIT,
                        EVIDENCE_REDIS=f"unix://{address}",
                        # That a process with threads is forked.
                        PYTHONWARNINGS="ignore",
                    ) as prepared:
                        outcome = _outcome(prepared, module, case.function)
                    say(f"{case.what}, {connections}, {django}: {outcome}")
                    if outcome != (expected := getattr(case, django)):
                        reasons.append(
                            f"{case.function}, {connections}, on {django}: {outcome}, "
                            f"not {expected}."
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


def _outcome(prepared, module, function):
    """Return the last line of what `function` of app's `module` prints."""
    command = [prepared.python, "-m", f"app.{module}", function]
    with lifecycle.started(prepared, command) as case:
        with contextlib.suppress(subprocess.TimeoutExpired):
            case.wait(LIMIT)
    return (prepared.log.read_text(errors="replace").splitlines() or ["nothing"])[-1]


def rows(cases):
    """Return the rows of a table of `cases`, which are strings."""
    return [(case.what, case.stock, case.fork) for case in cases]
