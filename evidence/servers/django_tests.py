"""Django's own parallel test runner."""

import sys

from evidence import lifecycle
from evidence.servers import BUG, SAFE, Server

# https://docs.python.org/3/whatsnew/3.14.html#incompatible-changes
FORKS = sys.version_info < (3, 14)


def _answers(trial):
    environ = {**trial.environ, "EVIDENCE_TOKENS": str(trial.tokens)}
    trial = trial._replace(environ=environ)
    command = [trial.python, "-m", "django", "test", "app.checks", "--noinput"]
    command += [
        "--parallel",
        lifecycle.WORKERS,
        "--testrunner",
        "app.testing.Runner",
    ]
    with lifecycle.started(trial, command) as process:
        yield from lifecycle.answered(trial, process)


SERVERS = [
    Server(
        "Django's test runner",
        (),
        _answers,
        # From Python 3.14 on it starts its processes by forkserver.
        expected=BUG if FORKS else SAFE,
    )
]
