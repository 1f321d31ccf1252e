"""What Ctrl-C and the signals that end a process do to a command."""

import contextlib
import signal
import threading


@contextlib.contextmanager
def unwinding():
    """
    Make SIGTERM and SIGHUP end this process as Ctrl-C does, through its
    `finally` clauses, with the status 128 + the signal's number.
    """

    def unwind(number, frame):
        raise SystemExit(128 + number)

    with _handled([signal.SIGTERM, signal.SIGHUP], unwind):
        yield


@contextlib.contextmanager
def uninterrupted():
    """Ignore Ctrl-C, SIGTERM, and SIGHUP, while something is being ended."""
    with _handled([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _handled(signals, handler):
    if threading.current_thread() is not threading.main_thread():
        # No other thread may set handlers.
        yield
        return
    previous = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
