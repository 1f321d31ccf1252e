"""The sdist of this repository, which carries the release that it is for."""

import os
from email.parser import HeaderParser
from pathlib import Path

from overlay import ROOT, archives
from overlay.errors import OverlayError
from overlay.files import File, read
from overlay.git import git
from overlay.releases import LOCAL

PKG_INFO = "PKG-INFO"

# What work leaves behind, for where no git tells it from the repository.
LEFT_BEHIND = {
    *{".git", ".tox", ".venv", "build", "dist", "venv", "__pycache__"},
    *{".pyc", ".whl", ".gz", ".egg-info"},
}


def local(version):
    """Return the version of the fork of Django `version`."""
    return f"{version}+{LOCAL}"


def name(version):
    """Return what the names of the fork's archives start with."""
    return f"django-{local(version)}"


def write(directory, version):
    """
    Write the sdist for Django `version` into `directory` and return its name.

    Raise OverlayError where it can't be written and where git fails.
    """
    # In metadata of this version every other field may come with the build
    # (PEP 643), which takes it from Django.
    pkg_info = f"Metadata-Version: 2.1\nName: Django\nVersion: {local(version)}\n"
    files = {path: read(ROOT / path) for path in paths()}
    files[PKG_INFO] = File(pkg_info.encode())
    archives.write_tar(
        Path(directory) / f"{name(version)}.tar.gz",
        [(f"{name(version)}/{path}", file) for path, file in sorted(files.items())],
    )
    return f"{name(version)}.tar.gz"


def paths():
    """
    Return the paths of this repository's files: those that git knows or, where
    this is no git repository, those that work didn't leave behind.
    """
    # A repository around this one, such as a user's project, doesn't know.
    if (ROOT / ".git").exists():
        listed = os.fsdecode(git(ROOT, "ls-files", "-z")).split("\0")[:-1]
        return [path for path in listed if (ROOT / path).is_file()]
    found = []
    for directory, subdirectories, files in os.walk(ROOT):
        subdirectories[:] = filter(_belongs, subdirectories)
        found += [Path(directory) / name for name in filter(_belongs, files)]
    return [path.relative_to(ROOT).as_posix() for path in found]


def carried():
    """
    Return the version of Django that this tree is an sdist for, None if it is
    none. Raise OverlayError for an sdist that is not of this fork.
    """
    if not (ROOT / PKG_INFO).exists():
        return None
    version, _, suffix = read_version(ROOT).partition("+")
    if suffix != LOCAL:
        raise OverlayError(f"{ROOT / PKG_INFO} is not of this fork: remove it.")
    return version


def read_version(directory):
    """Return the version that PKG-INFO in `directory` gives, "" if none."""
    try:
        text = (directory / PKG_INFO).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return HeaderParser().parsestr(text)["Version"] or ""


def _belongs(name):
    return not (
        name in LEFT_BEHIND
        or name.endswith("_cache")
        or os.path.splitext(name)[1] in LEFT_BEHIND
    )
