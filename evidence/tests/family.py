"""Processes to end, and what may be missing."""

import os
import subprocess
import sys
from textwrap import dedent

import pytest

from overlay import ROOT, OverlayError

# A child with two of its own, one of which doesn't listen to Ctrl-C.
FAMILY = """
import os, signal, subprocess, sys, time
sleep = "import time; print(flush=True); time.sleep(60)"
deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);" + sleep
children = [
    subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    for code in (sleep, deaf)
]
for child in children:
    child.stdout.readline()
print(os.getpid(), *(child.pid for child in children), flush=True)
time.sleep(60)
"""


def start(code, *arguments):
    """Start Python with `code` in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", dedent(code), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def interrupt(process, number, group=False):
    """Send the signal `number` and return the status of `process`."""
    (os.killpg if group else os.kill)(process.pid, number)
    try:
        return process.wait(30)
    finally:
        process.kill()
        process.stdout.close()


def there(find, *arguments):
    """
    Return what `find` does, or skip the test where it raises OverlayError as
    something isn't installed; never in CI.
    """
    try:
        return find(*arguments)
    except OverlayError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
