"""gunicorn with --preload, and its workers."""

from checks.databases.serving import free_port
from evidence import lifecycle
from evidence.servers import Server

PACKAGES = ("gunicorn==27.0.1",)
WORKAROUND = "post_fork"

# Each worker is replaced that often, in requests.
REPLACED = ["--max-requests", "30", "--max-requests-jitter", "10"]


def _answers(trial, worker, application="app.wsgi", *options):
    address = "127.0.0.1", free_port()
    command = [trial.python.with_name("gunicorn"), application, "--preload"]
    command += ["--worker-class", worker, "--workers", lifecycle.WORKERS, *options]
    config = "gunicorn_gevent" if worker == "gevent" else "gunicorn"
    command += ["--config", f"python:app.{config}", *REPLACED]
    # Less than the patience with the parent, in seconds: SIGTERM is lost on a
    # worker that is just being forked.
    command += ["--graceful-timeout", "3"]
    # By default that is the one of the user's own gunicorn.
    command += ["--no-control-socket", "--bind", "%s:%s" % address]
    with lifecycle.started(trial, command) as process:
        lifecycle.before_fork(trial, process)
        lifecycle.wait_for_log(trial, process, "Booting worker")
        yield from lifecycle.requested(trial, process, address)


def _server(name, packages, *arguments):
    return Server(
        f"gunicorn {name}",
        (*PACKAGES, *packages),
        lambda trial: _answers(trial, *arguments),
        WORKAROUND,
    )


SERVERS = [
    _server("sync", (), "sync"),
    _server("gthread", (), "gthread", "app.wsgi", "--threads", "4"),
    # gunicorn's worker needs packaging as well.
    _server("gevent", ("gevent==26.9.0", "packaging==26.3"), "gevent"),
    _server("asgi", (), "asgi", "app.asgi"),
    _server(
        "uvicorn",
        ("uvicorn==0.54.0", "uvicorn-worker==0.4.0"),
        "uvicorn_worker.UvicornWorker",
        "app.asgi",
    ),
]
