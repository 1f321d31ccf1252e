"""What the commands say to their user."""

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
