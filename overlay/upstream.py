"""The commits in a clone of django/django, and on Django's releases."""

import re
import shutil
import tempfile
from pathlib import Path

from overlay import ROOT, OverlayError, environment, releases, say, sources
from overlay.checkout import commit_all, git
from overlay.commits import PULL_REQUEST, apply, commits

BRANCH = "ticket_36957"


def pull_request(clone, follow_ups=False):
    """
    Make and switch to the branch ticket_36957 of `clone`, a clean clone of
    django/django: our commits on top of what is checked out there, by the
    author that its git is configured with. Return the text of the pull
    request. Raise OverlayError where that fails; the clone is as it was then.
    """
    clone = Path(clone).absolute()
    if not (clone / ".git").exists() or not (clone / "django/__init__.py").is_file():
        raise OverlayError(f"{clone} is not a clone of django/django.")
    if git(clone, "status", "--porcelain"):
        raise OverlayError(f"{clone} is not clean: commit or stash what is there.")
    source = (clone / "django/__init__.py").read_text(encoding="utf-8")
    version = ".".join(re.search(r"VERSION = \((\d+), (\d+)", source).groups())
    changes = commits()[: None if follow_ups else PULL_REQUEST]
    say(f"Applying {len(changes)} commits to {clone}, Django {version} ...")
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory, "tree")
        git(clone, "worktree", "add", "--quiet", "-b", BRANCH, tree)
        try:
            commit_all(tree, changes, version)
        except BaseException:
            shutil.rmtree(tree, ignore_errors=True)
            git(clone, "worktree", "prune")
            git(clone, "branch", "--quiet", "-D", BRANCH)
            raise
        git(clone, "worktree", "remove", tree)
    git(clone, "switch", "--quiet", BRANCH)
    say(f"{clone} is on the branch {BRANCH} now: push it and paste the text.")
    return (ROOT / "docs/pull-request.md").read_text(encoding="utf-8")


def status():
    """
    Yield a sentence for each of RELEASES, and for what is the newest of each
    series in the package index, and whether every hunk applies. Raise
    OverlayError where pip can't tell which releases there are.
    """
    options = ("index", "versions", "--ignore-requires-python", "Django")
    process = environment.pip(environment.with_pip(), *options)
    if process.returncode:
        raise OverlayError(f"pip index: {environment.last_error(process.stdout)}")
    found = re.findall(r"(?<![\w.])\d+\.\d+(?:\.\d+)?(?![\w.])", process.stdout)
    newest = {releases.series(version): version for version in reversed(found)}
    oldest = min(map(releases.series, releases.RELEASES))
    changed = {path for commit in commits() for path in commit.changed}
    wanted = {version for series, version in newest.items() if series >= oldest}
    for version in sorted(wanted.union(releases.RELEASES), key=releases.series):
        try:
            with sources.unpacked(version, wanted=changed.__contains__) as tree:
                apply(tree, version)
        except OverlayError as error:
            yield f"{version}: {error}", False
        else:
            pin = ""
            if version not in releases.RELEASES:
                pin = f" Its sha256 is {sources.sha256(sources.sdist(version))}."
            yield f"{version}: every hunk applies.{pin}", True
