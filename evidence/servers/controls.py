"""Servers that start their workers before the application is loaded."""

from checks.databases.serving import free_port
from evidence import lifecycle
from evidence.servers import SAFE, Server


def _answers(trial, ready, command):
    port = free_port()
    with lifecycle.started(trial, [*command, "--port", port]) as process:
        lifecycle.before_fork(trial, process)
        lifecycle.wait_for_log(trial, process, ready)
        yield from lifecycle.requested(trial, process, ("127.0.0.1", port))


def _granian(trial):
    command = [trial.python.with_name("granian"), "--interface", "wsgi"]
    command += ["--workers", lifecycle.WORKERS, "--host", "127.0.0.1"]
    return _answers(trial, "Started worker-", [*command, "app.wsgi:application"])


def _uvicorn(trial):
    command = [trial.python, "-m", "uvicorn", "app.asgi:application"]
    command += ["--workers", lifecycle.WORKERS]
    # It loads the application within its event loop.
    trial = trial._replace(
        environ={**trial.environ, "DJANGO_ALLOW_ASYNC_UNSAFE": "true"}
    )
    return _answers(trial, "Application startup complete", command)


SERVERS = [
    Server("granian", ("granian==2.8.7",), _granian, expected=SAFE),
    Server("uvicorn --workers", ("uvicorn==0.54.0",), _uvicorn, expected=SAFE),
]
