"""What the servers have in common: how they are found, started, and ended."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from checks.interrupts import uninterrupted, unwinding
from overlay import OverlayError

# In seconds.
START, STOP = 60, 10

# Where Debian has what an unprivileged user's PATH lacks.
SYSTEM = ("/usr/sbin", "/usr/local/sbin")

# What tells a server's complaints from the rest of its log.
COMPLAINTS = ("FATAL", "ERROR", "error:", "fatal")


@contextlib.contextmanager
def running(name, command, directory, user, ready, stop=signal.SIGTERM):
    """
    Have the server `name` run, by `command` in `directory` as `user` (None for
    the one that runs this), from when `ready()` is true. It is ended in any
    case, with the signal `stop` at first. Raise OverlayError where it doesn't
    start.
    """
    process = None
    with unwinding():
        try:
            with failing(name, directory), open(_log(directory), "ab") as log:
                process = subprocess.Popen(command, **_options(directory, user, log))
                deadline = time.monotonic() + START
                while not ready():
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise subprocess.SubprocessError("it is not ready in time")
                    time.sleep(0.05)
            yield
        finally:
            with uninterrupted():
                for number in (stop, signal.SIGQUIT, signal.SIGKILL) * bool(process):
                    process.send_signal(number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(STOP)
                        break


@contextlib.contextmanager
def temporary(name, user):
    """
    Yield a new directory, which belongs to `user` if that is one, and remove
    it afterwards. Its path is short, as one of a Unix socket has to be.
    """
    with unwinding():
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        try:
            if user:
                shutil.chown(directory, user)
            yield directory
        finally:
            with uninterrupted():
                shutil.rmtree(directory)


def prepare(name, command, directory, user):
    """Run `command`, which makes the data of a server, to its end."""
    with failing(name, directory), open(_log(directory), "ab") as log:
        subprocess.run(
            command, check=True, timeout=START, **_options(directory, user, log)
        )


@contextlib.contextmanager
def failing(name, directory):
    """Turn what fails into one line for the user, from the log if there is."""
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        log = _log(directory)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        said = [line for line in lines if any(word in line for word in COMPLAINTS)]
        # What follows the first complaint follows from it.
        raise OverlayError(
            f"{name} does not start ({(said or [error])[0]}): put that right, or name "
            "another database."
        ) from None


def program(name, package, *places):
    """
    Return the path of the program `name`, in `places` or on PATH. Raise
    OverlayError, which names Debian's `package`, if it is nowhere.
    """
    path = os.pathsep.join([*map(str, places), os.environ.get("PATH", ""), *SYSTEM])
    if found := shutil.which(name, path=path):
        return found
    raise OverlayError(
        f"{name} is not on this machine: install it (on Debian and Ubuntu: apt install "
        f"{package})."
    )


def unprivileged(user):
    """Return `user` if this runs as root, which no server should, or None."""
    return user if os.geteuid() == 0 else None


def free_port():
    """Return the number of a TCP port that is free on 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def _log(directory):
    return directory / "log"


def _options(directory, user, log):
    return {
        "stdin": subprocess.DEVNULL,
        "stdout": log,
        "stderr": subprocess.STDOUT,
        "cwd": directory,
        # MariaDB deletes the temporary files of others that share a directory.
        "env": {**os.environ, "LC_ALL": "C", "TMPDIR": str(directory)},
        "user": user,
        # Ctrl-C is for the users of the server, which outlives them.
        "start_new_session": True,
    }
