"""gunicorn with --preload, and its workers."""

import signal
import socket

from evidence import lifecycle
from evidence.servers import Server

PACKAGES = ("gunicorn==27.0.1",)
WORKAROUND = "post_fork"

# Each worker is replaced that often, in requests.
REPLACED = ["--max-requests", "30", "--max-requests-jitter", "10"]


def _answers(trial, worker, application="app.wsgi", *options, renewed=None):
    listener = socket.create_server(("127.0.0.1", 0))
    # As a command, since it starts itself anew by that.
    command = [trial.python.with_name("gunicorn"), application, "--preload"]
    command += ["--worker-class", worker, "--workers", lifecycle.WORKERS, *options]
    config = "gunicorn_gevent" if worker == "gevent" else "gunicorn"
    command += ["--config", f"python:app.{config}", *REPLACED]
    # Less than the patience with the parent, in seconds: SIGTERM is lost on a
    # worker that is just being forked.
    command += ["--graceful-timeout", "3"]
    # By default that is the one of the user's own gunicorn.
    command += ["--no-control-socket", "--bind", f"fd://{listener.fileno()}"]
    with (
        listener,
        lifecycle.started(trial, command, pass_fds=[listener.fileno()]) as process,
    ):
        address = listener.getsockname()
        # Else who connects after the server's end waits for an answer.
        listener.close()
        lifecycle.before_fork(trial, process)
        lifecycle.wait_for_log(trial, process, "Booting worker")
        for number, answer in enumerate(lifecycle.requested(trial, process, address)):
            if number == trial.tokens // 2 and renewed:
                renewed(trial, process)
            yield answer


def _reloaded(trial, process):
    """Half-way, have `process` replace its workers."""
    process.send_signal(signal.SIGHUP)


def _upgraded(trial, process):
    """Half-way, have it start one like itself, which has its own workers."""
    process.send_signal(signal.SIGUSR2)
    lifecycle.wait_for_log(trial, process, "Starting gunicorn", 2)


def _server(name, packages, *arguments, **options):
    return Server(
        f"gunicorn {name}",
        (*PACKAGES, *packages),
        lambda trial: _answers(trial, *arguments, **options),
        WORKAROUND,
    )


SERVERS = [
    _server("sync", (), "sync"),
    _server("reloaded", (), "sync", renewed=_reloaded),
    _server("upgraded", (), "sync", renewed=_upgraded),
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
