import os
import signal
import sys
import threading

import psutil
import pytest

from checks import processes
from checks.tests.conftest import FAMILY, interrupt, start
from overlay import interrupts


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
        from checks import processes
        from overlay import console, interrupts
        def command():
            with interrupts.unwinding():
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
    with interrupts.uninterrupted():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_unwinding_restores_the_handlers():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as raised, interrupts.unwinding():
        os.kill(os.getpid(), signal.SIGTERM)
    assert raised.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_unwinding_in_another_thread():
    entered = []

    def enter():
        with interrupts.unwinding():
            entered.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [before]
