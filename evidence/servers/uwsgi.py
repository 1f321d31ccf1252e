"""uWSGI, which forks in C once the application is loaded."""

import time
from pathlib import Path

from checks.databases.process import free_port
from evidence import running
from evidence.servers import SHOWN, Server
from overlay.errors import OverlayError

MULE = Path(__file__).parent.with_name("app") / "mule.py"

PACKAGES = ("pyuwsgi==2.0.30.post1",)

# In seconds, how long a worker may take to abort.
ABORT = 0.5

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
        _look_for_abort(run)
        if run.workaround:
            running.wait_for_log(run, process, "WSGI app 0")
        yield from running.requested(run, process, address)


def _look_for_abort(run):
    """
    Raise OverlayError if the workers abort, as they do on Python 3.13 with
    py-call-osafterfork: PyOS_AfterFork_Child() releases the import lock, which
    uWSGI didn't acquire (https://github.com/unbit/uwsgi/issues/2710).
    """
    deadline = time.monotonic() + ABORT
    while time.monotonic() < deadline:
        for line in run.log.read_text(errors="replace").splitlines():
            if "Fatal Python error" in line:
                raise OverlayError(f"its workers abort ({line.strip()})")
        time.sleep(0.02)


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
    *(
        Server(
            f"uWSGI {option}",
            PACKAGES,
            lambda run, option=option: _answers(run, f"--{option}"),
            LAZY,
        )
        for option in ("py-call-osafterfork", "py-call-uwsgi-fork-hooks")
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
            "to call close_old_connections(), or uWSGI needs py-call-uwsgi-fork-hooks."
        ),
    ),
]
