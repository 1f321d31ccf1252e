"""What the commands say to their user, and take from them."""

import argparse
import sys

from overlay.errors import OverlayError


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
        say(f"{name}: error: {' '.join(str(error).split())}")
        return 1
    except OSError as error:
        say(f"{name}: error: {error.filename or 'a file'}: {error.strerror or error}.")
        return 1
    except KeyboardInterrupt:
        say(f"{name}: interrupted")
        return 130


def up_to(most):
    """Return a type for argparse: the numbers from 1 to `most`."""

    def number(text):
        if not text.isdecimal() or not 0 < int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number from 1 to {most}"
            )
        return int(text)

    return number
