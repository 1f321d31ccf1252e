"""Our commits as a branch of a clone of django/django, ready to push."""

import ast
import time
from pathlib import Path

from overlay import ROOT, manifest
from overlay.checkout import commits
from overlay.console import say
from overlay.errors import OverlayError
from overlay.files import File, reader
from overlay.git import ISOLATED, git, path, run
from overlay.interrupts import uninterrupted

BRANCH = "ticket_36957"
TEXT = "docs/pull-request.md"


def pull_request(clone, root=ROOT, follow_ups=False):
    """
    Make and switch to the branch ticket_36957 of `clone`: what is checked out
    there, and our commits for its version by the author that the clone's git
    is configured with; with `follow_ups`, those that the pull request does
    without as well. Return the text of the pull request.

    Raise OverlayError where `clone` is not a clean clone of Django, has that
    branch, or has what our patches don't apply to; it is left as it was then.
    """
    clone = Path(clone)
    text = _text(root)
    author = _check(clone)
    head = git(clone, "rev-parse", "HEAD").decode().strip()
    version = _version(clone, head)
    say(f"Applying the commits to {clone} at {head[:12]}, Django {version} ...")
    changes = [
        change
        for change in manifest.changes(version, root)
        if follow_ups or not change.follow_up
    ]
    theirs = _files(clone, head, {path for change in changes for path in change.paths})
    try:
        contents = manifest.applied(reader(theirs), changes, version, root)
    except OverlayError as error:
        raise OverlayError(f"{error} {clone} is as it was.") from None
    added = {path for made in contents for path in made if path not in theirs}
    if there := sorted(path for path in added if (clone / path).exists()):
        raise OverlayError(
            f"{clone} has files that git doesn't know where the branch has its own: "
            f"move {', '.join(there)} away."
        )
    stream = commits(changes, contents, theirs, author, int(time.time()), BRANCH)
    _bring(clone, head, b"".join(stream))
    say(f"{clone} is on the branch {BRANCH} now: push it and paste the text.")
    return text


def _text(root):
    try:
        return (root / TEXT).read_text(encoding="utf-8")
    except OSError as error:
        raise OverlayError(
            f"{TEXT}, the text of the pull request, can't be read ({error.strerror}): "
            "write it first."
        ) from None


def _check(clone):
    """Return the author, a name and an address, that `clone` is set up for."""
    top = run(clone, "rev-parse", "--is-inside-work-tree", "--show-cdup")
    if (
        top.stdout != b"true\n\n"
        or not (clone / "django/__init__.py").is_file()
        or not (clone / "tests/runtests.py").is_file()
    ):
        raise OverlayError(
            f"{clone} is not a clone of django/django: name the top directory of one."
        )
    if run(clone, "rev-parse", "--verify", "HEAD").returncode:
        raise OverlayError(f"{clone} has no commit: check out Django's main branch.")
    if run(clone, "rev-parse", "--verify", f"refs/heads/{BRANCH}").returncode == 0:
        raise OverlayError(
            f"{clone} has a branch {BRANCH} already: rename or delete it."
        )
    if git(clone, "status", "--porcelain", "--untracked-files=no"):
        raise OverlayError(f"{clone} has uncommitted changes: commit or stash them.")
    for state in ("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD"):
        if path(clone, state).exists():
            raise OverlayError(
                f"{clone} is in the middle of a merge, a rebase, or the like: end it."
            )
    author = tuple(
        run(clone, "config", f"user.{key}").stdout.decode().strip()
        for key in ("name", "email")
    )
    if not all(author):
        raise OverlayError(
            f"git doesn't know who the author is: run git -C {clone} config user.name "
            "NAME, and the same for user.email."
        )
    return author


def _version(clone, head):
    """Return the version of Django that `clone` has at `head`."""
    source = git(clone, "cat-file", "blob", f"{head}:django/__init__.py").decode()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION":
            return ".".join(map(str, ast.literal_eval(node.value)[:2]))
    raise OverlayError(
        f"{clone} has no VERSION in django/__init__.py: check out Django's main branch."
    )


def _files(clone, head, paths):
    """Return those of `paths` that `clone` has at `head`, as Files."""
    listed = git(clone, "ls-tree", "-z", head, "--", *sorted(paths)).decode()
    return {
        path: File(git(clone, "cat-file", "blob", blob), mode == "100755")
        for line in listed.split("\0")[:-1]
        for entry, _, path in [line.partition("\t")]
        for mode, _, blob in [entry.split()]
    }


def _bring(clone, head, stream):
    """Make the branch of `stream`, for git fast-import, and switch to it."""
    reset = f"reset refs/heads/{BRANCH}\nfrom {head}\n\n".encode()
    with uninterrupted():
        # The ref comes last, when all objects are there.
        git(clone, "fast-import", "--quiet", stdin=reset + stream, environ=ISOLATED)
        try:
            git(clone, "checkout", "--quiet", BRANCH)
        except OverlayError:
            git(clone, "branch", "--quiet", "-D", BRANCH)
            raise
