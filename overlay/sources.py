"""Django's released sources, through pip, checked, and kept in build/cache."""

import gzip
import hashlib
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from overlay import BUILD, environment, releases
from overlay.console import say
from overlay.errors import OverlayError
from overlay.files import File

CACHE = BUILD / "cache"


def sdist(version, cache=CACHE):
    """
    Return the path of the sdist of Django `version`, downloaded into `cache`
    unless it is there. The sha256 of a pinned release is checked each time.

    Raise OverlayError for a version that doesn't exist, a download that fails,
    and a cache that can't be written.
    """
    archive, pin = _path(version, cache), _pin(version)
    if not pin:
        say(f"Django {version} is not pinned here, so its sha256 is not checked.")
    if cached(version, cache):
        return archive
    if archive.exists():
        say(f"{archive.name} in the cache is damaged.")
    say(f"Downloading the sources of Django {version} ...")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as directory:
            _download(version, pin, Path(directory)).replace(archive)
    except OSError as error:
        raise OverlayError(
            f"{cache} can't be written ({error.strerror}): make it writable, or work "
            "in a copy of this repository that is."
        ) from None
    return archive


def cached(version, cache=CACHE):
    """
    Return the path of the sdist of Django `version` if `cache` has it whole,
    else None.
    """
    archive, pin = _path(version, cache), _pin(version)
    if archive.is_file() and (not pin or sha256(archive) == pin):
        return archive


def files(archive):
    """
    Return the files of the sdist `archive` by their paths in Django's tree,
    without what setuptools left beside them.

    Raise OverlayError for an archive that is damaged.
    """
    contents = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in filter(tarfile.TarInfo.isfile, tar):
                path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
                if not path.parts[0].endswith(".egg-info"):
                    contents[str(path)] = File(
                        tar.extractfile(member).read(),
                        bool(member.mode & 0o100),
                        int(member.mtime),
                    )
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise OverlayError(
            f"{archive} is damaged ({error}): remove it and run this again."
        ) from None
    return contents


def sha256(path):
    """Return the sha256 of the file at `path`, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _path(version, cache):
    releases.check(version)
    return cache / f"django-{version}.tar.gz"


def _pin(version):
    release = releases.RELEASES.get(version)
    return release.sdist_sha256 if release else ""


def _download(version, pin, directory):
    requirement = directory / "requirements.txt"
    # With the hash pip checks the sdist before it runs anything from it.
    requirement.write_text(
        f"Django==={version}" + (f" --hash=sha256:{pin}\n" if pin else "\n")
    )
    process = environment.pip(
        _python(),
        "download",
        "--no-deps",
        "--no-binary=django",
        # What is downloaded is not run, so any Python will do.
        "--ignore-requires-python",
        f"--dest={directory}",
        f"--requirement={requirement}",
    )
    archives = list(directory.glob("*.tar.gz"))
    if process.returncode == 0 and len(archives) == 1:
        if not pin or sha256(archives[0]) == pin:
            return archives[0]
    if process.returncode == 0 or "DO NOT MATCH THE HASHES" in process.stdout:
        raise OverlayError(
            f"The sdist of Django {version} that pip got is not the released one (its "
            "sha256 is another): see where pip gets its packages from."
        )
    if "No matching distribution" not in process.stdout:
        raise OverlayError(
            f"pip can't download Django {version}: "
            f"{environment.last_error(process.stdout)}"
        )
    if "from versions: none" in process.stdout:
        raise OverlayError(
            f"Django {version} is not in {directory.parent} and pip can't reach a "
            "package index: run this again with a network."
        )
    raise OverlayError(
        f"There is no Django {version}: name a release such as {releases.newest()}."
    )


def _python():
    # The Python of a build or of uv can come without pip.
    if environment.pip(sys.executable, "--version").returncode == 0:
        return sys.executable
    return environment.python("pip", [])
