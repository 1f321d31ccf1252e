import os

import pytest

from overlay import manifest, sources
from overlay.checkout import checkout
from overlay.errors import OverlayError
from overlay.git import git
from overlay.tests.conftest import BASE, DJANGO, edit, log, read, write

PATCHED = BASE.replace("import copy\n", "import copy\nimport os\n").replace(
    '"default"\n', '"default"\n        self.pid = os.getpid()\n'
)


def test_checkout_is_the_release_and_a_commit_for_each_change(root, tmp_path):
    directory = checkout(tmp_path / "out/fork", "6.1.3", root)
    assert read(directory) == {
        path: content.encode()
        for path, content in {
            **DJANGO,
            "django/db/base.py": PATCHED,
            "docs/db.txt": "Databases\n\nForking is supported.\n",
            "tests/db/test_fork.py": "# Ours.\n",
        }.items()
    }
    messages = log(directory, "%B%x00", "--reverse").split("\0")[:-1]
    assert [message.strip() for message in messages] == [
        "Django 6.1.3",
        *(change.message.strip() for change in manifest.changes(root=root)),
    ]
    names = git(directory, "log", "-2", "--name-only", "--format=").decode().split()
    assert sorted(names) == [
        "django/db/base.py",
        "docs/db.txt",
        "tests/db/test_fork.py",
    ]
    assert git(directory, "status", "--porcelain") == b""
    first = git(directory, "ls-tree", "-r", "-z", "--name-only", "HEAD~2").decode()
    assert sorted(first.split("\0")[:-1]) == sorted(DJANGO)
    assert os.access(directory / "tests/runtests.py", os.X_OK)
    assert not os.access(directory / "django/db/base.py", os.X_OK)
    assert os.listdir(directory.parent) == ["fork"]


def test_checkout_leaves_out_what_is_for_later_releases(root, tmp_path):
    directory = checkout(tmp_path / "fork", "5.2.19", root)
    assert (directory / "docs/db.txt").read_text() == "?\n"
    assert (directory / "django/db/base.py").read_text() == "# Older.\n" + PATCHED
    assert log(directory, "%s").count("\n") == 2


def test_checkout_without_changes_is_the_release(root, tmp_path):
    directory = checkout(tmp_path / "stock", "6.1.3", root, changes=[])
    assert read(directory) == {path: text.encode() for path, text in DJANGO.items()}


def test_same_input_gives_the_same_commits(root, tmp_path):
    heads = {
        git(checkout(tmp_path / name, "6.1.3", root), "rev-parse", "HEAD")
        for name in ("one", "two")
    }
    assert len(heads) == 1


def test_commits_do_not_become_the_developers(root, tmp_path):
    directory = checkout(tmp_path / "fork", "6.1.3", root)
    assert log(directory, "%an%ae%cn%ce", "-1") == (
        "Django fork overlayoverlay@django.invalid" * 2 + "\n"
    )
    config = git(directory, "config", "--local", "--list").decode()
    assert "user." not in config


def test_line_endings_stay_whatever_is_configured(root, tmp_path):
    directory = checkout(tmp_path / "fork", "6.1.3", root)
    before = read(directory)
    git(directory, "rm", "--quiet", "-r", "django")
    git(directory, "reset", "--quiet", "--hard")
    assert read(directory) == before


def test_empty_directory_is_used(root, tmp_path):
    (tmp_path / "fork").mkdir()
    assert (checkout(tmp_path / "fork", "6.1.3", root) / "django/__init__.py").exists()


def test_directory_in_use_is_refused(root, tmp_path):
    directory = checkout(tmp_path / "fork", "6.1.3", root)
    edit(directory / "django/db/base.py", "import copy\n", "import edited\n")
    before = read(directory)
    with pytest.raises(OverlayError, match="fork is a checkout already: work in it"):
        checkout(directory, "6.1.3", root)
    assert read(directory) == before
    write(tmp_path, {"file": ""})
    with pytest.raises(OverlayError, match="file is there and not empty"):
        checkout(tmp_path / "file", "6.1.3", root)


def test_directory_that_can_not_be_made_is_an_error(root, tmp_path):
    write(tmp_path, {"file": ""})
    with pytest.raises(OverlayError, match="can't be made"):
        checkout(tmp_path / "file/fork", "6.1.3", root)


def test_nothing_is_left_of_a_checkout_that_failed(root, tmp_path, monkeypatch):
    edit(root / "django/db/base.py.patch", " import copy", " import other")
    with pytest.raises(OverlayError, match="hunk 1 of 2"):
        checkout(tmp_path / "out/fork", "6.1.3", root)
    edit(root / "django/db/base.py.patch", " import other", " import copy")
    # Git refuses such a path, after it has taken in everything else.
    edit(root / "overlay/manifest.toml", '["docs/db.txt"]', '["docs/.git/db.txt"]')
    edit(root / "overlay/manifest.toml", 'since = { "docs/db.txt" = "6.1" }', "")
    write(root, {"docs/.git/db.txt": ""})
    with pytest.raises(OverlayError, match="git .* failed"):
        checkout(tmp_path / "out/fork", "6.1.3", root)
    assert os.listdir(tmp_path / "out") == []


def test_missing_file_of_ours_is_named_before_anything_is_fetched(
    root, tmp_path, monkeypatch
):
    monkeypatch.setattr(sources, "sdist", None)
    (root / "tests/db/test_fork.py").unlink()
    with pytest.raises(OverlayError, match="names tests/db/test_fork.py"):
        checkout(tmp_path / "fork", "6.1.3", root)
