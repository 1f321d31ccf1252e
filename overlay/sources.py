"""Django's released sources, through pip, with the sha256 that is pinned."""

import contextlib
import hashlib
import tarfile
import tempfile
from pathlib import Path

from overlay import BUILD, OverlayError, environment, releases, say

CACHE = BUILD / "cache"


def sdist(version):
    """
    Return the path of the sdist of Django `version`, downloaded unless it is
    in CACHE. The sha256 of a pinned release is checked each time.

    Raise OverlayError where pip can't download it, or gets another one.
    """
    releases.series(version)
    archive = CACHE / f"django-{version}.tar.gz"
    _, pin = releases.RELEASES.get(version, (None, ""))
    if not pin:
        say(f"Django {version} is not pinned here, so its sha256 is not checked.")
    if archive.is_file() and pin in ("", sha256(archive)):
        return archive
    say(f"Downloading the sources of Django {version} ...")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=CACHE) as directory:
        requirement = Path(directory, "requirements.txt")
        # With the hash pip checks the sdist before it runs anything from it.
        hashed = f" --hash=sha256:{pin}" if pin else ""
        requirement.write_text(f"Django==={version}{hashed}\n")
        process = environment.pip(
            environment.with_pip(),
            *("download", "--no-deps", "--no-binary=django"),
            # What is downloaded is not run, so any Python will do.
            *("--ignore-requires-python", "--dest", directory, "-r", requirement),
        )
        if process.returncode:
            raise OverlayError(
                f"pip can't download Django {version}: "
                f"{environment.last_error(process.stdout)} (Is there such a release, "
                "and the network?)"
            )
        (downloaded,) = Path(directory).glob("*.tar.gz")
        downloaded.replace(archive)
    return archive


def sha256(path):
    """Return the sha256 of the file at `path`, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def unpacked(version, parent=None, wanted=lambda path: True):
    """
    Yield a new directory, in `parent`, with the sources of Django `version`
    whose paths are `wanted()`.
    """
    archive = sdist(version)
    with tempfile.TemporaryDirectory(prefix=".django-", dir=parent) as directory:
        with tarfile.open(archive) as tar:
            members = []
            for member in tar:
                _, _, member.name = member.name.partition("/")
                # Without what setuptools left beside Django's own files.
                own = member.name and not member.name.startswith("Django.egg-info")
                if own and wanted(member.name):
                    members.append(member)
            # Python 3.11.3 and earlier, as Debian 12 has it, know no filters.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(Path(directory, "tree"), members)
        yield Path(directory, "tree")
