"""Files in memory, and writing files whole or not at all."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from overlay.errors import OverlayError


class File(NamedTuple):
    """
    The contents of a file, whether it can be executed, and its time in seconds
    since 1970, where that is of interest.
    """

    content: bytes
    executable: bool = False
    time: int = 0

    @property
    def mode(self):
        return stat.S_IFREG | (0o755 if self.executable else 0o644)


def read(path):
    """Return `path`, a Path, as a File."""
    return File(path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))


def reader(files):
    """
    Return a function that returns the content of a path in `files`, a dict of
    Files, or None where there is none.
    """
    return lambda path: files[path].content if path in files else None


@contextlib.contextmanager
def replacing(path):
    """
    Yield the path of an empty file beside `path`, a Path, which takes its
    place, and its mode, at the end, unless an exception ends the block. Raise
    OverlayError where that can't be, or where `path` is something else than a
    file.
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
            beside.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
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
