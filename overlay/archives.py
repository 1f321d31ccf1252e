"""Archives whose bytes depend on nothing but what goes into them."""

import gzip
import io
import os
import stat
import tarfile
import time
import zipfile

from overlay import files
from overlay.errors import OverlayError

# What the clock of a ZIP file can say: 1980 to 2107, in steps of two seconds.
EARLIEST, LATEST = 315532800, 4354819198


def write_zip(path, members):
    """
    Write the ZIP file `path` with `members`, pairs of a name and a File, in
    that order. Raise OverlayError where it can't be written.
    """
    date = time.gmtime(_timestamp())[:6]
    with (
        files.writing(path),
        files.replacing(path) as beside,
        zipfile.ZipFile(beside, "w") as archive,
    ):
        for name, file in members:
            info = zipfile.ZipInfo(name, date)
            info.compress_type = zipfile.ZIP_DEFLATED
            # Else it would tell on which system it was made.
            info.create_system = 3
            info.external_attr = file.mode << 16
            archive.writestr(info, file.content)


def write_tar(path, members):
    """Like write_zip(), but write a tar file, compressed by gzip."""
    date = _timestamp()
    with (
        files.writing(path),
        files.replacing(path) as beside,
        open(beside, "wb") as output,
        gzip.GzipFile("", "wb", fileobj=output, mtime=date) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, file in members:
            info = tarfile.TarInfo(name)
            info.size = len(file.content)
            info.mode = stat.S_IMODE(file.mode)
            info.mtime = date
            tar.addfile(info, io.BytesIO(file.content))


def write_tree(directory, members):
    """
    Write `members`, pairs of a name and a File, under `directory`. Raise
    OverlayError where they can't be written.
    """
    with files.writing(directory):
        for name, file in members:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)


def _timestamp():
    """
    Return the time of what is in an archive, in seconds since 1970.

    See https://reproducible-builds.org/specs/source-date-epoch/.
    """
    value = os.environ.get("SOURCE_DATE_EPOCH", str(EARLIEST))
    if not value.isdecimal() or not value.isascii():
        raise OverlayError(
            f"SOURCE_DATE_EPOCH is {value!r}: set it to a number of seconds since "
            "1970, or unset it."
        )
    return min(max(int(value), EARLIEST), LATEST)
