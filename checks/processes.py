"""What the commands start is ended with them."""

import contextlib
import os
import shlex
import signal
import subprocess
import uuid

import psutil

from checks.interrupts import uninterrupted
from overlay import OverlayError

# How long, in seconds, an interrupted process has to come to an end itself.
GRACE = 3


# What all that a run starts inherits, also once its parent is gone.
MARK = "OVERLAY_RUN"


def run(command, *, env=None, timeout=None, **options):
    """
    Run `command`, with the options of subprocess.Popen, and return its status.
    An exception that comes first, as from Ctrl-C, ends all that it started.

    Raise OverlayError where it does not end in `timeout` seconds.
    """
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        command, env={**(env or os.environ), MARK: mark}, **options
    )
    try:
        return process.wait(timeout)
    except BaseException as error:
        with uninterrupted():
            _end(process, mark)
        if isinstance(error, subprocess.TimeoutExpired):
            raise OverlayError(
                f"{shlex.join(map(str, command))} did not end in {timeout} s: see what "
                "hangs in it."
            ) from None
        raise


def _end(process, mark):
    # A terminal interrupts all of them; whoever interrupts this process alone
    # doesn't.
    for number in (None, signal.SIGINT, signal.SIGKILL):
        if number:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
            break
    members = [member for member in psutil.process_iter() if _has(member, mark)]
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(members, timeout=GRACE)


def _has(process, mark):
    try:
        return process.environ().get(MARK) == mark
    except psutil.Error:
        # It is gone, or another user's.
        return False
