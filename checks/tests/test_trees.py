import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from checks import trees
from overlay.errors import OverlayError
from overlay.tests.conftest import DJANGO, edit, log


def tree(root, tmp_path, **options):
    return trees.tree("6.1.3", root=root, build=tmp_path / "build", **options)


def test_tree(root, tmp_path):
    with tree(root, tmp_path) as path:
        assert "import os" in (path / "django/db/base.py").read_text()
        assert (path / "tests/db/test_fork.py").read_text() == "# Ours.\n"


def test_tree_of_stock(root, tmp_path):
    with tree(root, tmp_path, stock=True) as path:
        theirs = DJANGO["django/db/base.py"]
        assert (path / "django/db/base.py").read_text() == theirs
        assert (path / "tests/db/test_fork.py").read_text() == "# Ours.\n"


def test_tree_of_the_first_commits(series, tmp_path):
    with tree(series, tmp_path) as path:
        assert len(log(path, "%s").splitlines()) == 4
    with tree(series, tmp_path, commits=1) as first:
        assert log(first, "%s").startswith("Fixed #1 ")
        assert path.exists()


@pytest.mark.parametrize("commits", [-1, 0, 4])
def test_number_of_commits_that_there_is_not_is_an_error(series, tmp_path, commits):
    with pytest.raises(OverlayError, match=f"has 3 commits.* instead of {commits}"):
        with tree(series, tmp_path, commits=commits):
            pass
    assert not (tmp_path / "build").exists()


def test_tree_is_kept(root, tmp_path):
    with tree(root, tmp_path) as first:
        (first / "seen").touch()
    with tree(root, tmp_path) as second:
        assert (second / "seen").exists()


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("django/db/base.py.patch", "+import os", "+import sys"),
        ("tests/db/test_fork.py", "# Ours.", "# New."),
        ("overlay/manifest.toml", "Added forking", "Added forks"),
    ],
)
def test_tree_is_of_what_is_there_now(root, tmp_path, file, old, new):
    with tree(root, tmp_path) as before:
        pass
    edit(root / file, old, new)

    with tree(root, tmp_path) as after:
        files = ("django/db/base.py", "tests/db/test_fork.py")
        said = "".join((after / path).read_text() for path in files)
        assert new.lstrip("+") in said + log(after, "%B")

    assert not before.exists()


def test_tree_in_use_is_not_removed(root, tmp_path):
    with tree(root, tmp_path) as before:
        edit(root / "tests/db/test_fork.py", "Ours", "New")
        with tree(root, tmp_path) as after:
            assert after != before
            assert before.exists()


def test_tree_in_use_is_shared(root, tmp_path):
    # One that waited for the other would wait for ever.
    def give_up(number, frame):
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(30)
    try:
        with tree(root, tmp_path) as first, tree(root, tmp_path) as second:
            assert first == second
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def test_tree_is_made_once(root, tmp_path, monkeypatch):
    made, checkout = [], trees.checkout.checkout

    def make(path, *arguments):
        made.append(path)
        return checkout(path, *arguments)

    def use():
        with tree(root, tmp_path) as path:
            assert (path / "django/db/base.py").exists()

    monkeypatch.setattr(trees.checkout, "checkout", make)
    with ThreadPoolExecutor(4) as executor:
        for future in [executor.submit(use) for _ in range(4)]:
            future.result(60)
    assert len(made) == 1


def test_tree_that_cannot_be_made(root, tmp_path):
    edit(root / "django/db/base.py.patch", " import copy", " import nothing")

    with pytest.raises(OverlayError, match="base.py.patch"), tree(root, tmp_path):
        pass

    left = [path for path in (tmp_path / "build").rglob("*") if path.is_file()]
    assert [path.suffix for path in left] == [".lock"]


def test_build_that_is_no_directory(root, tmp_path):
    (tmp_path / "build").write_text("")

    with pytest.raises(OverlayError, match="can't be written"), tree(root, tmp_path):
        pass
