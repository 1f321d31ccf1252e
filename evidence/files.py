"""Writing files whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from overlay import OverlayError


@contextlib.contextmanager
def replacing(path):
    """
    Yield the path of an empty file beside `path`, a Path, which takes its
    place, and its mode, at the end, unless an exception ends the block. Raise
    OverlayError where `path` is something else than a file.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise OverlayError(f"{path} is not a file: name one.")
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(descriptor)
    beside = Path(beside)
    try:
        yield beside
        beside.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
