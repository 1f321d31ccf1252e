"""The inverse of checkout: what was edited there, back in this repository."""

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path

from overlay import ROOT, manifest, patches, releases, sources
from overlay.console import say
from overlay.errors import OverlayError
from overlay.git import git
from overlay.git import path as git_path
from overlay.git import run

SUFFIXES = ("", ".patch")
STATE = "overlay.json"


def export(directory, root=ROOT):
    """
    Bring what the work tree of the checkout `directory` changes of Django's
    release, committed or not, into `root`: a changed file of Django's as a
    patch, an added one whole. A patch that still gives the same is kept.

    Return the files that were written or deleted. Raise OverlayError for what
    is not a checkout, for a change that the manifest doesn't name, for a file
    of Django's that was deleted, and for a file of ours that was edited in
    `root` as well since the checkout; nothing is written then.
    """
    directory = Path(directory)
    base, release = _base(directory)
    theirs = _tree(directory, base)
    paths = sorted(
        path for change in manifest.changes(release, root) for path in change.paths
    )
    changed = _changed(directory, theirs, paths)
    if deleted := sorted(path for path in theirs if not (directory / path).is_file()):
        raise OverlayError(
            f"{', '.join(deleted)}: a file of Django's can't be deleted by a patch; "
            "bring it back."
        )
    if unknown := sorted(changed.difference(paths)):
        raise OverlayError(
            f"{manifest.NAME} does not name {', '.join(unknown)} for Django {release}: "
            "add it to a commit there, or undo the change."
        )
    contents = {root / f"{path}{suffix}": None for path in paths for suffix in SUFFIXES}
    edits = {}
    for path in changed:
        new = (directory / path).read_bytes()
        if path in theirs:
            old = git(directory, "cat-file", "blob", theirs[path])
            edits[path] = manifest.text(path, old), manifest.text(path, new)
        else:
            contents[root / path] = new
    for path, patch in _patches(edits, release, root).items():
        contents[root / f"{path}.patch"] = patch.encode()
    written = {
        file: content for file, content in contents.items() if content != _read(file)
    }
    _check(written, _remembered(directory), root)
    _write(written)
    remember(directory, root, paths)
    for path in paths:
        if path not in changed:
            say(f"{path} is not changed any more: remove it from {manifest.NAME}.")
    return sorted(written)


def remember(directory, root, paths):
    """
    Note in the checkout `directory` the state of our files for `paths` in
    `root`, so that export() sees what was edited there since.
    """
    files = [f"{path}{suffix}" for path in paths for suffix in SUFFIXES]
    state = {
        file: _sha256(content)
        for file in files
        if (content := _read(root / file)) is not None
    }
    git_path(directory, STATE).write_text(json.dumps(state, indent=1))


def _remembered(directory):
    try:
        return json.loads(git_path(directory, STATE).read_text())
    except (OSError, ValueError):
        return None


def _base(directory):
    """Return the id of a checkout's first commit, and its release."""
    process = run(directory, "log", "--max-parents=0", "--format=%H %s", "HEAD")
    first = re.fullmatch(r"(\w+) Django (\S+)\n", process.stdout.decode())
    top = run(directory, "rev-parse", "--show-cdup").stdout.strip()
    if not directory.is_dir() or process.returncode or not first or top:
        raise OverlayError(
            f"{directory} is not what 'overlay checkout' made: name a directory that "
            "is, or make one."
        )
    releases.check(first[2])
    return first[1], first[2]


def _tree(directory, commit):
    """Return the ids of the files in `commit`, by their paths."""
    entries = git(directory, "ls-tree", "-r", "-z", commit).decode().split("\0")[:-1]
    return {
        path: attributes.split()[2]
        for attributes, _, path in (entry.partition("\t") for entry in entries)
    }


def _changed(directory, theirs, paths):
    """Return the paths of the files that are added or not like `theirs`."""
    listed = git(
        directory, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
    )
    # Git's own comparison depends on the configured line endings, and the
    # ignored files on the user's configuration.
    return {
        path
        for path in {*listed.decode().split("\0")[:-1], *paths, *theirs}
        if (directory / path).is_file()
        and theirs.get(path) != _blob((directory / path).read_bytes())
    }


def _blob(content):
    return hashlib.sha1(
        b"blob %d\0%b" % (len(content), content), usedforsecurity=False
    ).hexdigest()


def _patches(edits, release, root):
    """
    Return the patches that make `edits`, (old, new) of each path in `release`:
    ours where they do, else new ones that also apply to the other releases.
    """
    made, missing = {}, []
    for path, (old, new) in edits.items():
        try:
            patch = (_read(root / f"{path}.patch") or b"").decode()
            if patches.apply(patch, old, release) == new:
                made[path] = patch
                continue
        except (OverlayError, UnicodeDecodeError):
            pass
        missing.append(path)
    others = {
        other: sources.files(archive)
        for other in releases.RELEASES
        if missing and other != release and (archive := sources.cached(other))
    }
    for path in missing:
        texts = {
            other: manifest.text(path, files[path].content)
            for other, files in others.items()
            if path in files
        }
        made[path] = patches.make(path, *edits[path], texts.values())
        for other, text in texts.items():
            try:
                patches.apply(made[path], text, other)
            except OverlayError as error:
                say(f"Note: {error}")
    return made


def _check(written, state, root):
    if state is None:
        return
    for file in written:
        content, name = _read(file), str(file.relative_to(root))
        if content is not None and state.get(name) != _sha256(content):
            raise OverlayError(
                f"{name} was edited here since the checkout was made: make a new "
                "checkout, or remove the file here to take the checkout's."
            )


def _read(file):
    return file.read_bytes() if file.is_file() else None


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def _write(contents):
    """Write, or delete for None, each of `contents`: beside, then moved."""
    moves = []
    try:
        for file, content in contents.items():
            if content is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                descriptor, beside = tempfile.mkstemp(
                    prefix=f".{file.name}-", dir=file.parent
                )
                moves.append((beside, file))
                with open(descriptor, "wb") as stream:
                    stream.write(content)
        for beside, file in moves:
            os.chmod(beside, 0o644)
            os.replace(beside, file)
    except OSError as error:
        raise OverlayError(
            f"{error.filename} can't be written ({error.strerror}): make it writable."
        ) from None
    finally:
        for beside, _ in moves:
            Path(beside).unlink(missing_ok=True)
    for file, content in contents.items():
        if content is None:
            file.unlink()
