"""How Django's released sources and our commits become the patched Django."""

import sys
from pathlib import Path

# The first line to run, so that an old Python doesn't stumble over the rest.
if sys.version_info < (3, 11):
    raise SystemExit(
        "overlay: error: Python 3.11 or later is needed and this is Python %d.%d: "
        "run the command with a newer one." % sys.version_info[:2]
    )

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"


class OverlayError(Exception):
    """An expected failure; its message is one line that says what to do."""


def say(message):
    """Print a line of progress on standard error."""
    print(message, file=sys.stderr, flush=True)


def run(name, command, *args):
    """
    Return the exit status of `command(*args)`, called for its effect or for a
    status of its own. What goes wrong is printed as one line after `name`.
    """
    try:
        return command(*args) or 0
    except OverlayError as error:
        say(f"{name}: error: {one_line(error)}")
        return 1
    except OSError as error:
        say(f"{name}: error: {error.filename or 'a file'}: {error.strerror or error}.")
        return 1
    except KeyboardInterrupt:
        say(f"{name}: interrupted")
        return 130


def one_line(text, most=400):
    """Return what `text` says in one line of at most so many characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[:most]} ..."
