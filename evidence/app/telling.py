"""What processes tell the one that counts, as lines of JSON in a file."""

import glob
import json
import os
import time
import uuid

# In seconds, as long as whoever counts may take to look at this process.
PATIENCE = 10


def ask(tokens, parent=False):
    """
    Ask for as many tokens as `tokens`. Tell of each when it is asked for and
    when it is answered or has failed; `parent` tells that this process asks
    after others that it forked.
    """
    from app.echo import echo

    for _ in range(tokens):
        token = uuid.uuid4().hex
        tell(asked=token, parent=parent)
        try:
            tell(asked=token, parent=parent, **echo(token))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            tell(asked=token, parent=parent, error=reason)


def ask_before_fork():
    """Ask for a token, and wait until this process was looked at."""
    from app.echo import echo

    tell(asked=None, **echo("before the fork"))
    deadline = time.monotonic() + PATIENCE
    while not os.path.exists(f"{_path()}.seen") and time.monotonic() < deadline:
        time.sleep(0.01)


def wait_for_others(processes):
    """
    Wait until as many `processes` have come here, lest the first one do all
    the work of those that start slowly.
    """
    open(f"{_path()}.process-{os.getpid()}", "w").close()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if len(glob.glob(f"{_path()}.process-*")) >= processes:
            return
        time.sleep(0.01)


def tell(**fields):
    """Add a line with `fields`."""
    descriptor = os.open(_path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        # One call, which doesn't mix with those of the other processes.
        os.write(descriptor, json.dumps(fields).encode() + b"\n")
    finally:
        os.close(descriptor)


def _path():
    return os.environ["EVIDENCE_TOLD"]
