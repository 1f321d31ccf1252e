"""uWSGI, which forks in C once the application is loaded."""

from evidence import running
from evidence.servers import SHOWN, Server
from overlay.servers.process import free_port

PACKAGES = ("pyuwsgi==2.0.30.post1",)

# The application is loaded by each worker, after the fork.
LAZY = "lazy-apps"


def _command(run, address, *options):
    command = [run.python.with_name("pyuwsgi"), "--master", "--need-app"]
    command += ["--processes", running.WORKERS, "--http-socket", "%s:%s" % address]
    command += ["--module", "app.wsgi", "--die-on-term", *options]
    return [*command, "--lazy-apps"] if run.workaround else command


def _answers(run, *options):
    address = "127.0.0.1", free_port()
    # Each worker is replaced that often, in requests.
    command = _command(run, address, "--max-requests", 30, *options)
    with running.started(run, command) as process:
        yield running.before_fork(run, process)
        running.wait_for_log(run, process, "spawned uWSGI worker")
        if run.workaround:
            running.wait_for_log(run, process, "WSGI app 0")
        yield from running.requested(run, process, address)


def _mule(run, *arguments):
    """Yield the Answers of a process that answers no requests."""
    address = "127.0.0.1", free_port()
    environ = {**run.environ, "EVIDENCE_MULE": " ".join(map(str, arguments))}
    run = run._replace(environ=environ)
    command = _command(run, address)
    for _ in range(running.WORKERS):
        command += ["--mule=app/mule.py"]
    with running.started(run, command) as process:
        yield from running.answered(run, process)


SERVERS = [
    Server("uWSGI", PACKAGES, _answers, LAZY),
    Server(
        "uWSGI py-call-osafterfork",
        PACKAGES,
        lambda run: _answers(run, "--py-call-osafterfork"),
        LAZY,
    ),
    Server(
        "uWSGI threads",
        PACKAGES,
        lambda run: _answers(run, "--enable-threads", "--threads", 4),
        LAZY,
    ),
]
