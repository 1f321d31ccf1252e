"""uWSGI, which forks in C once the application is loaded."""

from pathlib import Path

from evidence import running
from evidence.servers import SHOWN, Server
from overlay.servers.process import free_port

MULE = Path(__file__).parent.with_name("app") / "mule.py"

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
        running.before_fork(run, process)
        running.wait_for_log(run, process, "spawned uWSGI worker")
        if run.workaround:
            running.wait_for_log(run, process, "WSGI app 0")
        yield from running.requested(run, process, address)


def _mules(run, close):
    """Yield the Answers of mules, which ask for tokens themselves."""
    tokens = run.tokens // running.WORKERS
    environ = {**run.environ, "EVIDENCE_MULE": f"{close} {tokens}"}
    run = run._replace(environ=environ)
    mules = [f"--mule={MULE}"] * running.WORKERS
    command = _command(run, ("127.0.0.1", free_port()), *mules)
    with running.started(run, command) as process:
        # They don't end: uWSGI would start them again.
        left = tokens * running.WORKERS
        for answer in running.answered(run, process):
            yield answer
            left -= answer.asked is not None
            if not left:
                break


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
    Server("uWSGI mule", PACKAGES, lambda run: _mules(run, "closing"), LAZY),
    Server(
        "uWSGI mule without close_old_connections()",
        PACKAGES,
        lambda run: _mules(run, "as-it-is"),
        LAZY,
        expected=SHOWN,
        note=(
            "Nothing tells Python of the fork, and a mule handles no requests: it has "
            "to call close_old_connections(), or uWSGI needs py-call-osafterfork."
        ),
    ),
]
