import os
import signal
import subprocess
import sys
import time

import pytest

from overlay import ROOT, pull_request
from overlay.errors import OverlayError
from overlay.git import git
from overlay.tests.conftest import DJANGO, edit, log, write
from overlay.tests.test_export import commit

# Django's main branch has gone on since the release.
MAIN = {
    path: text.replace("import copy\n", "# Moved.\n\nimport copy\n")
    for path, text in DJANGO.items()
    if path != "PKG-INFO"
} | {
    "django/__init__.py": 'import x\n\nVERSION = (6, 2, 0, "alpha", 0)\n\nx.y = 1\n',
    "docs/releases/6.2.txt": "News\n====\n",
}


@pytest.fixture
def clone(tmp_path, configuration):
    directory = write(tmp_path / "clone", MAIN)
    git(directory, "init", "--quiet")
    git(directory, "checkout", "--quiet", "-b", "main")
    commit(directory, "Main.")
    git(directory, "config", "user.name", "Ada")
    git(directory, "config", "user.email", "ada@example.invalid")
    write(directory, {"notes.txt": "untracked\n"})
    return directory


def state(directory):
    """Return everything in `directory`, git's own files included."""
    return {
        str(file): (
            # Git touches objects that it would have written again.
            file.lstat().st_mtime_ns if "objects" not in file.parts else None,
            file.is_file() and file.read_bytes(),
        )
        for file in sorted(directory.rglob("*"))
    }


def make(clone, root):
    return pull_request.pull_request(clone, root)


def test_branch_has_the_commits_by_the_configured_author(clone, root):
    assert make(clone, root) == "Please merge.\n"
    assert git(clone, "symbolic-ref", "HEAD") == b"refs/heads/ticket_36957\n"
    assert log(clone, "%s|%an <%ae>|%cn <%ce>") == (
        "Fixed #3 -- Documented forking.|Ada <ada@example.invalid>|"
        "Ada <ada@example.invalid>\n"
        "Fixed #1 -- Added forking.|Ada <ada@example.invalid>|"
        "Ada <ada@example.invalid>\n"
        "Main.|A <a@b.invalid>|A <a@b.invalid>\n"
    )
    assert log(clone, "%b", "-1", "HEAD~1").strip() == (
        "Ref #2 also counts, as does this line:\n# not a comment."
    )
    base = (clone / "django/db/base.py").read_text()
    assert base.startswith("# Moved.\n\nimport copy\nimport os\n")
    assert (clone / "tests/db/test_fork.py").read_text() == "# Ours.\n"
    assert git(clone, "status", "--porcelain") == b"?? notes.txt\n"
    assert abs(int(log(clone, "%at", "-1")) - time.time()) < 60


def test_follow_ups_are_made_if_asked_for(clone, series):
    make(clone, series)
    assert "Refs #1 -- More." not in log(clone, "%s")
    git(clone, "checkout", "--quiet", "main")
    git(clone, "branch", "--quiet", "-D", pull_request.BRANCH)
    pull_request.pull_request(clone, series, follow_ups=True)
    assert log(clone, "%s").startswith("Refs #1 -- More.\nFixed #3 ")


def test_clone_has_every_object_of_the_branch(clone, root):
    make(clone, root)
    # Fails where one was borrowed from the temporary repositories.
    assert git(clone, "fsck", "--full", "--strict") is not None
    assert not (clone / ".git/objects/info/alternates").exists()


def test_release_notes_are_of_the_version_that_is_checked_out(clone, root):
    with open(root / "overlay/manifest.toml", "a") as file:
        file.write(
            '[[commit]]\nmessage = "More."\npaths = ["docs/releases/6.2.txt"]\n'
            'since = { "docs/releases/6.2.txt" = "6.2" }\n'
        )
    patch = "--- a/x\n+++ b/x\n@@ -1,1 +1,2 @@\n ====\n+* Forking.\n"
    write(root, {"docs/releases/6.2.txt.patch": patch})
    make(clone, root)
    assert (clone / "docs/releases/6.2.txt").read_text() == "News\n====\n* Forking.\n"
    git(clone, "checkout", "--quiet", "-b", "stable/5.2.x", "main")
    git(clone, "branch", "--quiet", "-D", pull_request.BRANCH)
    edit(clone / "django/__init__.py", "(6, 2,", "(5, 2,")
    commit(clone)
    make(clone, root)
    # Nor is what another 'since' names.
    assert log(clone, "%s").splitlines()[0] == "Fixed #1 -- Added forking."


def test_executables_stay_so(clone, root):
    (clone / "django/db/base.py").chmod(0o755)
    git(clone, "config", "core.fileMode", "true")
    commit(clone)
    make(clone, root)
    assert b"100755" in git(clone, "ls-tree", "HEAD", "django/db/base.py")


def test_release_itself_and_a_shallow_clone_will_do(clone, root, tmp_path):
    shallow = tmp_path / "shallow"
    commit(write(clone, {"more": ""}))
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{clone}", str(shallow))
    git(shallow, "config", "user.name", "Ada")
    git(shallow, "config", "user.email", "ada@example.invalid")
    make(shallow, root)
    assert log(shallow, "%s").count("\n") == 3
    git(shallow, "fsck", "--full")


def assert_refused(clone, root, reason):
    before = state(clone)
    with pytest.raises(OverlayError, match=reason) as caught:
        make(clone, root)
    assert "\n" not in str(caught.value)
    assert state(clone) == before


def test_hunk_that_does_not_apply_is_named(clone, root):
    edit(clone / "django/db/base.py", '"default"\n', '"other"\n')
    commit(clone)
    assert_refused(
        clone,
        root,
        r"django/db/base.py.patch: hunk 2 of 2 .* nowhere in Django 6.2's .*: line 8 "
        "has .*other.* instead of .*default.* is as it was",
    )


def test_conflict_in_a_later_commit_leaves_no_earlier_one(clone, root):
    (clone / "docs/db.txt").unlink()
    commit(clone)
    assert_refused(clone, root, "docs/db.txt.patch does not apply: Django 6.2 has no")


def test_clone_that_can_not_switch_gets_no_branch(clone, root):
    (clone / ".git/index.lock").touch()
    with pytest.raises(OverlayError, match="git checkout failed .*index.lock"):
        make(clone, root)
    assert git(clone, "symbolic-ref", "HEAD") == b"refs/heads/main\n"
    assert git(clone, "status", "--porcelain") == b"?? notes.txt\n"
    assert git(clone, "branch", "--format=%(refname:short)") == b"main\n"


def test_commits_that_are_in_already_are_named(clone, root):
    make(clone, root)
    git(clone, "branch", "-m", "merged")
    assert_refused(clone, root, "hunk 1 of 2 .* is in Django 6.2's .* already")


def edited(clone, root):
    write(clone, {"docs/db.txt": "Edited.\n"})


def staged(clone, root):
    edited(clone, root)
    git(clone, "add", "docs/db.txt")


def has_the_branch(clone, root):
    git(clone, "branch", "ticket_36957")


def merging(clone, root):
    (clone / ".git/MERGE_HEAD").write_bytes(git(clone, "rev-parse", "HEAD"))


def unknown_author(clone, root):
    git(clone, "config", "--unset", "user.email")


def without_text(clone, root):
    (root / "docs/pull-request.md").unlink()


def without_version(clone, root):
    commit(write(clone, {"django/__init__.py": ""}))


def has_a_file_of_ours(clone, root):
    commit(write(clone, {"tests/db/test_fork.py": "# Theirs.\n"}))


def has_an_untracked_file_of_ours(clone, root):
    write(clone, {"tests/db/test_fork.py": "# Somebody's work.\n"})


@pytest.mark.parametrize(
    "state, reason",
    [
        (edited, "uncommitted changes"),
        (staged, "uncommitted changes"),
        (has_the_branch, "has a branch ticket_36957 already"),
        (merging, "in the middle of"),
        (unknown_author, "user.name"),
        (without_text, "docs/pull-request.md"),
        (without_version, "no VERSION"),
        (has_a_file_of_ours, "tests/db/test_fork.py"),
        (has_an_untracked_file_of_ours, "move tests/db/test_fork.py away"),
    ],
)
def test_refused(clone, root, state, reason):
    state(clone, root)
    assert_refused(clone, root, reason)


@pytest.mark.parametrize("kind", ["missing", "plain", "other", "inside", "bare"])
def test_what_is_not_a_clone_of_django_is_refused(clone, root, tmp_path, kind):
    directory = tmp_path / "other"
    if kind == "plain":
        write(directory, MAIN)
    elif kind == "other":
        commit_all = write(directory, {"README": ""})
        git(commit_all, "init", "--quiet")
        commit(commit_all)
    elif kind == "inside":
        directory = write(clone / "django", MAIN)
    elif kind == "bare":
        git(tmp_path, "clone", "--quiet", "--bare", str(clone), str(directory))
    with pytest.raises(OverlayError, match="is not a clone of django/django"):
        make(directory, root)


def test_interrupt_leaves_the_clone_as_it_was(clone, root, tmp_path):
    # A git that never ends while the files are read.
    fake = write(tmp_path / "bin", {"git": GIT})
    (fake / "git").chmod(0o755)
    before = state(clone)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, clone, root],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{fake}{os.pathsep}{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "reached").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read().endswith(b"overlay: interrupted\n")
    finally:
        process.kill()
        process.communicate()
    assert state(clone) == before


GIT = """\
#!/bin/sh
PATH="${PATH#*:}"
case " $* " in
*" ls-tree "*) : > "${0%/bin/git}/reached"; exec sleep 60 ;;
esac
exec git "$@"
"""

INTERRUPTED = """\
import sys
from pathlib import Path
from overlay import console, pull_request
clone, root = map(Path, sys.argv[1:])
sys.exit(console.run("overlay", pull_request.pull_request, clone, root))
"""
