"""The commits that make up the fork, and what they make of Django's files."""

import tomllib
from pathlib import PurePosixPath
from typing import NamedTuple

from overlay import ROOT, patches, releases
from overlay.errors import OverlayError

NAME = "overlay/manifest.toml"
TREES = ("django", "tests", "docs")


class Change(NamedTuple):
    """A commit: its upstream message and the paths, as in Django's tree."""

    message: str
    paths: tuple[str, ...]


def changes(release=None, root=ROOT):
    """
    Return the list of changes, in the order in which they go upstream.

    With `release`, a version, leave out the paths that aren't changed in it.
    Raise OverlayError for a manifest that is not in order.
    """
    try:
        with open(root / NAME, "rb") as file:
            manifest = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise OverlayError(f"{NAME}: {error}.") from None
    result, seen = [], set()
    for number, commit in enumerate(manifest.get("commit", []), 1):
        message, paths = commit.get("message"), commit.get("paths")
        since = commit.get("since", {})
        if (
            not (isinstance(message, str) and message.strip())
            or not (isinstance(paths, list) and paths)
            or not isinstance(since, dict)
        ):
            raise OverlayError(
                f"{NAME}: commit {number} needs a message and a list of paths, and "
                "'since', if there, is a table."
            )
        for path in paths:
            _check_path(path)
            if path in seen:
                raise OverlayError(f"{NAME} names {path} twice: keep one of them.")
            seen.add(path)
        for path, lowest in since.items():
            if path not in paths:
                raise OverlayError(
                    f"{NAME}: commit {number} has a 'since' for {path} but not "
                    "the path."
                )
            if release and releases.series(release) < releases.series(lowest):
                paths = [other for other in paths if other != path]
        if paths:
            result.append(Change(message.strip() + "\n", tuple(paths)))
    if not seen:
        raise OverlayError(f"{NAME} names no commit.")
    return result


def source(path, root=ROOT):
    """
    Return the file of ours for `path`, and whether it is a patch.

    Raise OverlayError unless there is exactly one of `path` and `path`.patch.
    """
    whole, patch = root / path, root / f"{path}.patch"
    if whole.is_file() and patch.is_file():
        raise OverlayError(
            f"{path} is here both as a file and as a patch: remove one of them."
        )
    if not whole.is_file() and not patch.is_file():
        raise OverlayError(
            f"{NAME} names {path}, which is here neither as a file nor as "
            f"{path}.patch: add it or remove it from the manifest."
        )
    return (patch, True) if patch.is_file() else (whole, False)


def patched(read, paths, release, root=ROOT):
    """
    Return the new contents, in bytes, of each of `paths` in `release`.

    `read` takes a path and returns the bytes of Django's own file, or None
    where it has none. Raise OverlayError for a path that we don't have, a
    patch that doesn't apply, and a file of ours that Django has as well.
    """
    contents = {}
    for path in paths:
        file, is_patch = source(path, root)
        theirs = read(path)
        if not is_patch and theirs is None:
            contents[path] = file.read_bytes()
        elif not is_patch:
            raise OverlayError(
                f"Django {release} has a {path} of its own: keep a patch of it "
                "instead of the whole file."
            )
        elif theirs is None:
            raise OverlayError(
                f"{path}.patch does not apply: Django {release} has no {path}."
            )
        else:
            contents[path] = patches.apply(
                text(f"{path}.patch", file.read_bytes()), text(path, theirs), release
            ).encode()
    return contents


def text(path, contents):
    """
    Return `contents`, in bytes, as text. Raise OverlayError, naming `path`,
    where they are not UTF-8.
    """
    try:
        return contents.decode()
    except UnicodeDecodeError:
        raise OverlayError(f"{path} is not UTF-8, so it can't be patched.") from None


def _check_path(path):
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    if (
        len(parts) < 2
        or parts[0] not in TREES
        or ".." in parts
        or str(PurePosixPath(path)) != path
    ):
        raise OverlayError(
            f"{NAME}: {path!r} is not a path of a file under django/, tests/, or "
            "docs/."
        )
