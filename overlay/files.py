"""Writing files whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from overlay.errors import OverlayError


@contextlib.contextmanager
def replacing(path):
    """
    Yield the path of an empty file beside `path`, a Path, which takes its
    place at the end, unless an exception ends the block. Raise OverlayError
    where that can't be, or where `path` is something else than a file.
    """
    path = path.resolve()
    with writing(path):
        if path.exists() and not path.is_file():
            raise OverlayError(f"{path} is not a file: name one.")
        descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(descriptor)
    beside = Path(beside)
    try:
        yield beside
        with writing(path):
            beside.chmod(0o644)
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path):
    """Raise OverlayError where the block can't write `path`."""
    try:
        yield
    except OSError as error:
        raise OverlayError(
            f"{path} can't be written ({error.strerror}): make it writable, or name a "
            "place that is and has room."
        ) from None
