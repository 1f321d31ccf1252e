"""Servers that don't fork once the application is loaded."""

from checks.databases.process import free_port
from evidence import running
from evidence.servers import SAFE, Server

NOTE = "It starts its workers before the application is loaded."


def _answers(run, ready, command):
    port = free_port()
    with running.started(run, [*command, "--port", port]) as process:
        running.before_fork(run, process)
        running.wait_for_log(run, process, ready)
        yield from running.requested(run, process, ("127.0.0.1", port))


def _granian(run):
    command = [run.python.with_name("granian"), "--interface", "wsgi"]
    command += ["--workers", running.WORKERS, "--host", "127.0.0.1"]
    return _answers(run, "Started worker-", [*command, "app.wsgi:application"])


def _uvicorn(run):
    command = [run.python, "-m", "uvicorn", "app.asgi:application"]
    command += ["--workers", running.WORKERS]
    # It loads the application within its event loop.
    run = run._replace(environ={**run.environ, "DJANGO_ALLOW_ASYNC_UNSAFE": "true"})
    return _answers(run, "Application startup complete", command)


SERVERS = [
    Server("granian", ("granian==2.8.7",), _granian, expected=SAFE, note=NOTE),
    Server(
        "uvicorn --workers", ("uvicorn==0.54.0",), _uvicorn, expected=SAFE, note=NOTE
    ),
]
