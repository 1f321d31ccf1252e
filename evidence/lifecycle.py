"""Starting what a set-up consists of, waiting for it, and ending it."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from checks.interrupts import uninterrupted
from evidence import load
from overlay import OverlayError

WORKERS = 4

# In seconds, how long a server may take to start, and to end when asked to.
START, END = 20, 5

# In what a process tells that was answered before the fork.
BEFORE = '"asked": null'


class Trial(NamedTuple):
    """
    What a server is run with: its interpreter, how many tokens it's asked for,
    whether with the workaround, the time.monotonic() of its deadline, a
    directory of its own, and the environment variables.
    """

    python: Path
    tokens: int
    workaround: bool
    deadline: float
    directory: Path
    environ: dict

    @property
    def told(self):
        """The file in which the processes tell what they ask and get."""
        return Path(self.environ["EVIDENCE_TOLD"])

    @property
    def log(self):
        """The file with the output of all processes."""
        return self.directory / "log"


@contextlib.contextmanager
def started(trial, command):
    """
    Yield the process of `command`, in a group that is ended afterwards. Raise
    OverlayError where there is no such command.
    """
    try:
        with open(trial.log, "ab") as log:
            process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=trial.directory,
                env=trial.environ,
                start_new_session=True,
            )
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise OverlayError(f"it does not start ({reason})") from None
    try:
        yield process
    finally:
        with uninterrupted():
            # Not more gently, since what hangs doesn't listen.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def before_fork(trial, process):
    """
    Let `process` go on once it has been answered before the fork. Raise
    OverlayError if it never is.
    """
    wait(
        trial, process, lambda: trial.told.exists() and BEFORE in trial.told.read_text()
    )
    Path(f"{trial.told}.seen").touch()


def wait_for_log(trial, process, text, times=WORKERS):
    """Wait until `process` has logged `text` as often as `times`."""
    wait(
        trial,
        process,
        lambda: trial.log.read_text(errors="replace").count(text) >= times,
    )


def wait(trial, process, ready):
    """
    Wait until `ready()`. Raise OverlayError, with the end of the log, where
    `process` ends first or takes too long.
    """
    deadline = min(trial.deadline, time.monotonic() + START)
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            lines = trial.log.read_text(errors="replace").splitlines()
            errors = [line for line in lines if "rror" in line]
            said = errors or [line for line in lines if line.strip()] or ["no output"]
            raise OverlayError(f"it does not start ({said[-1].strip()})")
        time.sleep(0.02)


def answered(trial, process):
    """
    Yield the Answers of processes that ask for tokens themselves, until
    `process`, which forks them, ends.
    """
    before_fork(trial, process)
    yield from load.told(trial.told, process, trial.deadline)


def answered_then_ended(trial, process):
    """
    Yield the Answers of processes that ask for tokens themselves, and then
    those of `process`, which forked them, until it has ended as it was asked
    to.
    """
    left = trial.tokens
    for answer in load.told(trial.told, process, trial.deadline):
        yield answer
        if answer.asked and not answer.parent:
            left -= 1
            if not left:
                process.terminate()


def requested(trial, process, address):
    """
    Yield the Answers to requests to the web server `process` at `address`, and
    then to what it asked itself, until it has ended as it was asked to.
    """
    yield from load.requests(address, trial.tokens, trial.deadline)
    process.terminate()
    yield from load.told(trial.told, process, time.monotonic() + END)
