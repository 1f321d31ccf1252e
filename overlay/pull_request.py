"""Our commits as a branch of a clone of django/django, ready to push."""

import tempfile
import time
from pathlib import Path

from overlay import BUILD, ROOT, manifest
from overlay.checkout import checkout
from overlay.console import say
from overlay.errors import OverlayError
from overlay.git import ISOLATED, git, path, run
from overlay.interrupts import uninterrupted

BRANCH = "ticket_36957"
TEXT = "docs/pull-request.md"


def pull_request(clone, version, root=ROOT, follow_ups=False):
    """
    Make and switch to the branch ticket_36957 of `clone`: what is checked out
    there, and our commits for Django `version` by the author that the clone's
    git is configured with; with `follow_ups`, those that the pull request does
    without as well. Return the text of the pull request.

    Raise OverlayError where `clone` is not a clean clone of Django, has that
    branch, or has what our patches conflict with; it is left as it was then.
    """
    clone = Path(clone)
    text = _text(root)
    author = _check(clone)
    changes = [
        change
        for change in manifest.changes(version, root)
        if follow_ups or not change.follow_up
    ]
    try:
        BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pull-request-", dir=BUILD) as scratch:
            scratch = Path(scratch)
            ours = checkout(
                scratch / "ours", version, root, changes, author, int(time.time())
            )
            theirs = _apply(clone, ours, scratch / "theirs", author)
            _bring(clone, theirs)
    except OSError as error:
        raise OverlayError(
            f"{BUILD} can't be written ({error.strerror}): make it writable."
        ) from None
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


def _apply(clone, ours, theirs, author):
    """
    Make the repository `theirs`: what is checked out in `clone`, and on top of
    it the commits of `ours`. Raise OverlayError where they conflict.

    It borrows the clone's objects, so that nothing is written there.
    """
    head = git(clone, "rev-parse", "HEAD").decode().strip()
    say(f"Applying the commits to {clone} at {head[:12]} ...")
    git(
        theirs.parent,
        *("clone", "--quiet", "--shared", "--no-checkout"),
        *(str(clone.resolve()), theirs.name),
        environ=ISOLATED,
    )
    git(theirs, "checkout", "--quiet", "-b", BRANCH, head, environ=ISOLATED)
    git(theirs, "fetch", "--quiet", str(ours.resolve()), "main", environ=ISOLATED)
    release, *_ = git(theirs, "rev-list", "--reverse", "FETCH_HEAD").decode().split()
    process = run(
        theirs,
        *("cherry-pick", f"{release}..FETCH_HEAD"),
        environ=ISOLATED
        | dict(zip(("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"), author)),
    )
    if process.returncode == 0:
        return theirs
    subject = git(theirs, "log", "-1", "--format=%s", "CHERRY_PICK_HEAD").decode()
    unmerged = git(theirs, "diff", "-z", "--name-only", "--diff-filter=U").decode()
    if files := sorted(set(unmerged.split("\0")[:-1])):
        raise OverlayError(
            f"The commit {subject.strip()!r} does not apply to {clone}: it conflicts "
            f"with what is there in {', '.join(files)}. Update the patches to it; the "
            "clone is as it was."
        )
    raise OverlayError(
        f"{clone} has the commit {subject.strip()!r} already: check out a commit that "
        "doesn't."
    )


def _bring(clone, theirs):
    """Fetch the branch of `theirs` into `clone` and switch to it, or not."""
    ref = f"refs/heads/{BRANCH}"
    head = git(clone, "rev-parse", "HEAD").decode().strip()
    added = git(
        theirs, "diff", "-z", "--name-only", "--diff-filter=A", head, BRANCH
    ).decode()
    if files := [file for file in added.split("\0")[:-1] if (clone / file).exists()]:
        raise OverlayError(
            f"{clone} has files that git doesn't know where the branch has its own: "
            f"move {', '.join(files)} away."
        )
    with uninterrupted():
        # A fetch copies the borrowed objects too, and the ref comes last.
        git(
            clone,
            *("fetch", "--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head"),
            *("--no-recurse-submodules", str(theirs.resolve()), f"{ref}:{ref}"),
        )
        try:
            git(clone, "checkout", "--quiet", BRANCH)
        except OverlayError:
            git(clone, "branch", "--quiet", "-D", BRANCH)
            raise
