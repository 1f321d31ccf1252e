"""Django's own parallel test runner."""

from evidence import running
from evidence.servers import Server


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
        note="Its processes have databases of their own.",
    )
]
