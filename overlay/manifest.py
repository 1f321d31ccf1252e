"""The commits that make up the fork, and what they make of Django's files."""

import tomllib
from collections import Counter
from pathlib import PurePosixPath
from typing import NamedTuple

from overlay import ROOT, patches, releases
from overlay.errors import OverlayError

NAME = "overlay/manifest.toml"
TREES = ("django", "tests", "docs")


class Change(NamedTuple):
    """
    A commit: its upstream message, and the paths that it changes, as in
    Django's tree, each with the name of our file for that; whether it follows
    the pull request instead of being a part of it.
    """

    message: str
    paths: dict[str, str]
    follow_up: bool = False

    @property
    def subject(self):
        """The first line of the message."""
        return self.message.partition("\n")[0]


def changes(release=None, root=ROOT):
    """
    Return the list of changes, in the order in which they go upstream.

    The second commit that changes PATH does so by PATH.2.patch, and so on.
    With `release`, a version, leave out the paths that aren't changed in it.
    Raise OverlayError for a manifest that is not in order.
    """
    try:
        with open(root / NAME, "rb") as file:
            manifest = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise OverlayError(f"{NAME}: {error}.") from None
    result, seen = [], Counter()
    for number, commit in enumerate(manifest.get("commit", []), 1):
        message, paths = commit.get("message"), commit.get("paths")
        since, follow_up = commit.get("since", {}), commit.get("follow_up", False)
        if (
            not (isinstance(message, str) and message.strip())
            or not (isinstance(paths, list) and paths)
            or not isinstance(since, dict)
            or not isinstance(follow_up, bool)
        ):
            raise OverlayError(
                f"{NAME}: commit {number} needs a message and a list of paths; "
                "'since', if there, is a table, and 'follow_up' true or false."
            )
        if result and result[-1].follow_up and not follow_up:
            raise OverlayError(
                f"{NAME}: commit {number} comes after a follow-up: move it before "
                "that, as the pull request is made without those."
            )
        names = {}
        for path in paths:
            _check_path(path)
            if path in names:
                raise OverlayError(
                    f"{NAME}: commit {number} names {path} twice: keep one of them."
                )
            seen[path] += 1
            names[path] = path if seen[path] == 1 else f"{path}.{seen[path]}"
        for path, lowest in since.items():
            if path not in paths:
                raise OverlayError(
                    f"{NAME}: commit {number} has a 'since' for {path} but not "
                    "the path."
                )
            if release and releases.series(release) < releases.series(lowest):
                del names[path]
        if names:
            result.append(Change(message.strip() + "\n", names, follow_up))
    if not seen:
        raise OverlayError(f"{NAME} names no commit.")
    return result


def within(prefix, changes):
    """Return `changes` with no other paths than those that begin so."""
    kept = (
        change._replace(
            paths={
                path: name
                for path, name in change.paths.items()
                if path.startswith(prefix)
            }
        )
        for change in changes
    )
    return [change for change in kept if change.paths]


def source(name, root=ROOT):
    """
    Return the file of ours called `name`, and whether it is a patch.

    Raise OverlayError unless there is exactly one of `name` and `name`.patch.
    """
    whole, patch = root / name, root / f"{name}.patch"
    if whole.is_file() and patch.is_file():
        raise OverlayError(
            f"{name} is here both as a file and as a patch: remove one of them."
        )
    if not whole.is_file() and not patch.is_file():
        raise OverlayError(
            f"{NAME} names {name}, which is here neither as a file nor as "
            f"{name}.patch: add it or remove it from the manifest."
        )
    return (patch, True) if patch.is_file() else (whole, False)


def applied(read, changes, release, root=ROOT):
    """
    Return, for each of `changes`, what patched() returns: each is made on top
    of those before it.
    """
    result, made = [], {}
    for change in changes:
        result.append(
            patched(
                lambda path: made[path] if path in made else read(path),
                change.paths,
                release,
                root,
            )
        )
        made |= result[-1]
    return result


def patched(read, paths, release, root=ROOT):
    """
    Return the new contents, in bytes, of each of `paths` in `release`, a dict
    as in a Change.

    `read` takes a path and returns the bytes of the file that there is, or
    None where there is none. Raise OverlayError for a path that we don't have,
    a patch that doesn't apply, and a file of ours that Django has as well.
    """
    contents = {}
    for path, name in paths.items():
        file, is_patch = source(name, root)
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
                f"{name}.patch does not apply: Django {release} has no {path}."
            )
        else:
            contents[path] = patches.apply(
                text(f"{name}.patch", file.read_bytes()), text(path, theirs), release
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
