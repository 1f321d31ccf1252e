import os
import signal
import subprocess
import sys
import threading
from textwrap import dedent

import psutil
import pytest

from overlay import ROOT, processes

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


@pytest.mark.parametrize("status", [0, 3])
def test_run_returns_the_status(status):
    command = [sys.executable, "-c", f"raise SystemExit({status})"]
    assert processes.run(command) == status


@pytest.mark.parametrize(
    "number, group, status",
    [
        (signal.SIGINT, False, 130),
        (signal.SIGINT, True, 130),
        (signal.SIGTERM, False, 143),
        (signal.SIGHUP, False, 129),
    ],
)
def test_signal_ends_all_that_runs(number, group, status):
    process = start(
        """
        import sys
        from overlay import console, processes
        def command():
            with processes.unwinding():
                return processes.run([sys.executable, "-c", sys.argv[1]])
        sys.exit(console.run("test", command))
        """,
        FAMILY,
    )
    family = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    assert len(family) == 3

    assert interrupt(process, number, group) == status

    _, alive = psutil.wait_procs(family, timeout=5)
    for member in alive:
        member.kill()
    assert alive == []


def test_uninterrupted():
    with processes.uninterrupted():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_unwinding_restores_the_handlers():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as raised, processes.unwinding():
        os.kill(os.getpid(), signal.SIGTERM)
    assert raised.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_unwinding_in_another_thread():
    entered = []

    def enter():
        with processes.unwinding():
            entered.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [before]
