"""The inverse of checkout: what was edited there, back in this repository."""

import contextlib
import hashlib
import json
import re
from pathlib import Path

from overlay import ROOT, files, manifest, patches, releases, sources
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
    changes = manifest.changes(release, root)
    paths = sorted({path for change in changes for path in change.paths})
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
    contents = {root / file: None for file in _files(changes)}
    edits = {}
    for path, steps in _steps(directory, base, changes).items():
        old = (
            git(directory, "cat-file", "blob", theirs[path]) if path in theirs else None
        )
        for name, new in steps:
            if new is None or new == old:
                say(f"{name} changes nothing any more: remove it from {manifest.NAME}.")
            elif old is None:
                contents[root / name] = new
            else:
                edits[name] = path, manifest.text(path, old), manifest.text(path, new)
            old = new
    for name, patch in _patches(edits, release, root).items():
        contents[root / f"{name}.patch"] = patch.encode()
    written = {
        file: content for file, content in contents.items() if content != _read(file)
    }
    _check(written, _remembered(directory), root)
    _write(written)
    remember(directory, root, changes)
    return sorted(written)


def remember(directory, root, changes):
    """
    Note in the checkout `directory` the state of our files for `changes` in
    `root`, so that export() sees what was edited there since.
    """
    state = {
        file: _sha256(content)
        for file in _files(changes)
        if (content := _read(root / file)) is not None
    }
    git_path(directory, STATE).write_text(json.dumps(state, indent=1))


def _remembered(directory):
    try:
        return json.loads(git_path(directory, STATE).read_text())
    except (OSError, ValueError):
        return None


def _files(changes):
    return [
        f"{name}{suffix}"
        for change in changes
        for name in change.paths.values()
        for suffix in SUFFIXES
    ]


def _steps(directory, base, changes):
    """
    Return, for each path, the names of our files for it, each with what the
    path's content is, or None, once that commit is made.

    An edit that isn't committed belongs to the commit that changes the path.
    Raise OverlayError where there are several such commits.
    """
    steps = {}
    for change in changes:
        for path, name in change.paths.items():
            steps.setdefault(path, []).append((name, change.subject))
    for path, names in steps.items():
        final = _read(directory / path)
        if len(names) == 1:
            steps[path] = [(names[0][0], final)]
            continue
        steps[path] = [
            (name, _committed(directory, base, subject, path))
            for name, subject in names
        ]
        if steps[path][-1][1] != final:
            raise OverlayError(
                f"{path} is changed by {len(names)} commits, so an edit of it has to "
                "be in one of them: git commit --fixup=THAT, and then git -c "
                f"sequence.editor=: rebase -i --autosquash {base[:12]}."
            )
    return steps


def _committed(directory, base, subject, path):
    """Return the content of `path`, or None, in the commit `subject`."""
    log = git(directory, "log", "--format=%H %s", f"{base}..HEAD").decode()
    commits = [line.split(" ", 1) for line in log.splitlines()]
    found = [commit for commit, other in commits if other == subject]
    if len(found) != 1:
        raise OverlayError(
            f"{directory} has {len(found)} commits {subject!r}, which changes {path}: "
            "there has to be one, as 'overlay checkout' makes it."
        )
    blob = run(directory, "cat-file", "blob", f"{found[0]}:{path}")
    return blob.stdout if blob.returncode == 0 else None


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
    Return the patches that make `edits`, the path, the old, and the new text
    of each name in `release`: ours where they do, else new ones that also
    apply to the other releases.
    """
    made = {}
    for name, (_, old, new) in edits.items():
        try:
            patch = (_read(root / f"{name}.patch") or b"").decode()
            if patches.apply(patch, old, release) == new:
                made[name] = patch
        except (OverlayError, UnicodeDecodeError):
            pass
    if len(made) == len(edits):
        return made
    # What each path is in the other releases, with the patches up to there.
    others = {
        other: {
            path: manifest.text(path, files[path].content)
            for path, _, _ in edits.values()
            if path in files
        }
        for other in releases.RELEASES
        if other != release and (archive := sources.cached(other))
        for files in [sources.files(archive)]
    }
    for name, (path, old, new) in edits.items():
        texts = {other: text[path] for other, text in others.items() if path in text}
        if name not in made:
            made[name] = patches.make(path, old, new, texts.values())
        for other, text in texts.items():
            try:
                others[other][path] = patches.apply(made[name], text, other)
            except OverlayError as error:
                say(f"Note: {error}")
                del others[other][path]
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
    """Write, or delete for None, each of `contents`, or none of them."""
    with contextlib.ExitStack() as stack:
        for file, content in contents.items():
            if content is not None:
                with files.writing(file):
                    file.parent.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(files.replacing(file)).write_bytes(content)
    for file, content in contents.items():
        if content is None:
            file.unlink()
