"""Django's own parallel test runner."""

import sys

from evidence import running
from evidence.servers import BUG, SAFE, Server

# https://docs.python.org/3/whatsnew/3.14.html#incompatible-changes
FORKS = sys.version_info < (3, 14)


def _answers(run):
    environ = {**run.environ, "EVIDENCE_TOKENS": str(run.tokens)}
    run = run._replace(environ=environ)
    command = [run.python, "-m", "django", "test", "app.checks", "--noinput"]
    command += ["--parallel", running.WORKERS, "--testrunner", "app.runner.Runner"]
    with running.started(run, command) as process:
        yield from running.answered(run, process)


SERVERS = [
    Server(
        "Django's test runner",
        (),
        _answers,
        expected=BUG if FORKS else SAFE,
        note="Its processes have databases of their own"
        + (
            "."
            if FORKS
            else ", and Python 3.14 starts them by forkserver, so that nothing is "
            "inherited."
        ),
    )
]
