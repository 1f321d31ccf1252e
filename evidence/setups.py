"""The set-ups: each server on each Django, under the same load."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from evidence import load
from evidence.count import HUNG, Answer, Figures, count
from overlay.errors import OverlayError
from overlay.processes import uninterrupted

WORKERS = 4
TOKENS = 400

# The longest that a set-up takes, and that its server takes to start, in
# seconds.
LIMIT, START = 25, 15

STOCK, WORKAROUND, FORK = "stock", "stock + workaround", "fork"


class Setup(NamedTuple):
    """A server on stock Django, there with the workaround, or on the fork."""

    server: str
    django: str


class Result(NamedTuple):
    """
    What came of a set-up under load: how many processes answered, the first
    few errors, and how long it took.
    """

    setup: Setup
    figures: Figures
    processes: int
    errors: list[str]
    seconds: float


def run(setup, python, database, deadline, advance):
    """
    Return the Result of `setup`, run by the interpreter `python` on the
    `database`, a dict of connection parameters, until `deadline`, a time of
    time.monotonic(), at the latest. Call `advance()` after each answer.

    Raise OverlayError where the set-up does not start.
    """
    start, answers = time.monotonic(), []
    environ = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith(("GUNICORN_", "PYTHON"))
    } | {
        "DJANGO_SETTINGS_MODULE": "app.settings",
        "EVIDENCE_DATABASE": json.dumps(database),
        "PYTHONPATH": str(Path(__file__).parent),
        "PYTHONUNBUFFERED": "1",
    }
    with tempfile.TemporaryDirectory(prefix="evidence-") as directory:
        server = SERVERS[setup.server](
            python,
            setup.django == WORKAROUND,
            min(deadline, start + LIMIT),
            {"cwd": directory, "env": environ},
        )
        # Else an interrupt leaves its end to the garbage collection.
        with contextlib.closing(server):
            for answer in server:
                answers.append(answer)
                advance()
    errors = dict.fromkeys(answer.error for answer in answers)
    return Result(
        setup,
        count(answers),
        processes=len({answer.process for answer in answers if answer.asked} - {None}),
        errors=[error for error in errors if error not in (None, HUNG)][:3],
        seconds=round(time.monotonic() - start, 1),
    )


def _gunicorn(python, workaround, deadline, options):
    """Yield the Answers of gunicorn, which queries before it forks."""
    output, log = Path(options["cwd"], "output"), Path(options["cwd"], "log")
    listener = socket.create_server(("127.0.0.1", 0))
    command = [python, "-m", "gunicorn", "app.wsgi", "--preload"]
    command += ["--workers", str(WORKERS), "--bind", f"fd://{listener.fileno()}"]
    # By default that is the one of the user's own gunicorn.
    command += ["--no-control-socket"]
    if workaround:
        command += ["--config", "python:app.workaround"]
    with (
        listener,
        open(output, "wb") as stdout,
        open(log, "wb") as stderr,
        _started(
            command,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[listener.fileno()],
            **options,
        ) as process,
    ):
        address = listener.getsockname()
        # Else who connects after the server's end waits for an answer.
        listener.close()
        _wait(process, log)
        yield Answer(None, **json.loads(output.read_text()))
        yield from load.requests(address, TOKENS, deadline)


def _multiprocessing(python, workaround, deadline, options):
    """Yield the Answers of a process and the children that it forks."""
    command = [python, "-m", "app.forking", str(WORKERS), str(TOKENS // (WORKERS + 1))]
    if workaround:
        command += ["workaround"]
    log, silent = Path(options["cwd"], "log"), True
    with (
        open(log, "wb") as stderr,
        _started(command, stdout=subprocess.PIPE, stderr=stderr, **options) as process,
        process.stdout,
    ):
        for answer in load.lines(process.stdout, deadline):
            silent = False
            yield answer
        if silent:
            raise _not_started("multiprocessing", log)


SERVERS = {"gunicorn --preload": _gunicorn, "multiprocessing": _multiprocessing}
SETUPS = [
    Setup(server, django) for server in SERVERS for django in (STOCK, WORKAROUND, FORK)
]


@contextlib.contextmanager
def _started(command, **options):
    """Yield the process of `command`, in a group that is ended afterwards."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        with uninterrupted():
            # Not more gently, since what hangs doesn't listen.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process, log):
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        if log.read_text().count("Booting worker") >= WORKERS:
            return
        time.sleep(0.05)
    raise _not_started("gunicorn", log)


def _not_started(name, log):
    lines = log.read_text(errors="replace").splitlines() or ["it said nothing"]
    return OverlayError(
        f"{name} does not start ({lines[-1]}): put that right and run this again."
    )
