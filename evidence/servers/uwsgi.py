"""uWSGI, which forks in C once the application is loaded."""

import time
from pathlib import Path

from checks.databases.serving import free_port
from evidence import lifecycle
from evidence.servers import Server
from overlay import OverlayError

MULE = Path(__file__).parent.with_name("app") / "mule.py"

PACKAGES = ("pyuwsgi==2.0.30.post1",)

# In seconds, how long a worker may take to abort.
ABORT = 0.5

# The application is loaded by each worker, after the fork.
LAZY = "lazy-apps"


def _command(trial, address, *options):
    command = [trial.python.with_name("pyuwsgi"), "--master", "--need-app"]
    command += ["--processes", lifecycle.WORKERS, "--http-socket", "%s:%s" % address]
    command += ["--module", "app.wsgi", "--die-on-term", *options]
    return [*command, "--lazy-apps"] if trial.workaround else command


def _answers(trial, *options):
    address = "127.0.0.1", free_port()
    # Each worker is replaced that often, in requests.
    command = _command(trial, address, "--max-requests", 30, *options)
    with lifecycle.started(trial, command) as process:
        lifecycle.before_fork(trial, process)
        lifecycle.wait_for_log(trial, process, "spawned uWSGI worker")
        _look_for_abort(trial)
        if trial.workaround:
            lifecycle.wait_for_log(trial, process, "WSGI app 0")
        yield from lifecycle.requested(trial, process, address)


def _look_for_abort(trial):
    """
    Raise OverlayError if the workers abort, as they do on Python 3.13 with
    py-call-osafterfork: PyOS_AfterFork_Child() releases the import lock, which
    uWSGI didn't acquire (https://github.com/unbit/uwsgi/issues/2710).
    """
    deadline = time.monotonic() + ABORT
    while time.monotonic() < deadline:
        for line in trial.log.read_text(errors="replace").splitlines():
            if "Fatal Python error" in line:
                raise OverlayError(f"its workers abort ({line.strip()})")
        time.sleep(0.02)


def _mules(trial):
    """Yield the Answers of mules, which ask for tokens themselves."""
    tokens = trial.tokens // lifecycle.WORKERS
    environ = {**trial.environ, "EVIDENCE_MULE": str(tokens)}
    trial = trial._replace(environ=environ)
    mules = [f"--mule={MULE}"] * lifecycle.WORKERS
    command = _command(trial, ("127.0.0.1", free_port()), *mules)
    with lifecycle.started(trial, command) as process:
        # They don't end: uWSGI would start them again.
        left = tokens * lifecycle.WORKERS
        for answer in lifecycle.answered(trial, process):
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
            lambda trial, option=option: _answers(trial, f"--{option}"),
            LAZY,
        )
        for option in ("py-call-osafterfork", "py-call-uwsgi-fork-hooks")
    ),
    Server(
        "uWSGI threads",
        PACKAGES,
        lambda trial: _answers(trial, "--enable-threads", "--threads", 4),
        LAZY,
    ),
    Server("uWSGI mule", PACKAGES, _mules, LAZY),
]
