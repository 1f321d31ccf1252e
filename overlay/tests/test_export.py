import os
import shutil

import pytest

from overlay import ROOT, manifest, patches, releases, sources
from overlay.checkout import checkout
from overlay.errors import OverlayError
from overlay.export import export
from overlay.files import File
from overlay.git import git
from overlay.tests.conftest import BASE, edit, read, write

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@b.invalid")


@pytest.fixture
def fork(root, tmp_path):
    return checkout(tmp_path / "fork", "6.1.3", root)


def commit(directory, message="Edited."):
    git(directory, "add", "--all")
    git(directory, *IDENTITY, "commit", "--quiet", "--no-gpg-sign", "-m", message)


@pytest.mark.parametrize("version", releases.RELEASES)
def test_checkout_and_export_leave_the_overlay_as_it_was(root, tmp_path, version):
    before = read(root)
    assert export(checkout(tmp_path / version, version, root), root) == []
    assert read(root) == before


@pytest.mark.parametrize("version", releases.RELEASES)
def test_checkout_and_export_leave_commits_of_the_same_path(series, tmp_path, version):
    before = read(series)
    fork = checkout(tmp_path / version, version, series)
    assert export(fork, series) == []
    removed = [
        series / f"{path}.2.patch"
        for path in ("django/db/base.py", "tests/db/test_fork.py")
    ]
    for file in removed:
        file.unlink()
    assert export(fork, series) == removed
    assert read(series) == before


@pytest.mark.parametrize(
    "subject, line, name",
    [
        ("Fixed #1 -- Added forking.", "import os\n", "base.py.patch"),
        ("Refs #1 -- More.", "        # Ours.\n", "base.py.2.patch"),
    ],
)
def test_edit_comes_back_in_its_commit(series, tmp_path, subject, line, name):
    fork = checkout(tmp_path / "fork", "6.1.3", series)
    before = read(series)
    edit(fork / "django/db/base.py", line, f"{line}{line}")
    for message in (None, f"fixup! {subject}"):
        if message:
            commit(fork, message)
        with pytest.raises(OverlayError, match="changed by 2 commits.* --autosquash"):
            export(fork, series)
        assert read(series) == before
    git(
        fork,
        *(*IDENTITY, "-c", "sequence.editor=:", "-c", "commit.gpgsign=false"),
        *("rebase", "--quiet", "-i", "--autosquash", "HEAD~4"),
    )
    assert export(fork, series) == [series / "django/db" / name]
    assert read(checkout(tmp_path / "again", "6.1.3", series)) == read(fork)


def test_commit_of_a_shared_path_that_is_gone_is_an_error(series, tmp_path):
    fork = checkout(tmp_path / "fork", "6.1.3", series)
    git(fork, *IDENTITY, "commit", "--quiet", "--no-gpg-sign", "--amend", "-m", "Other")
    with pytest.raises(OverlayError, match="has 0 commits 'Refs #1 -- More.'"):
        export(fork, series)


@pytest.mark.parametrize("version", releases.RELEASES)
def test_export_restores_what_is_missing_here(root, tmp_path, version):
    directory = checkout(tmp_path / version, version, root)
    before = read(root)
    (root / "django/db/base.py.patch").unlink()
    (root / "tests/db/test_fork.py").unlink()
    assert export(directory, root) == [
        root / "django/db/base.py.patch",
        root / "tests/db/test_fork.py",
    ]
    assert read(root) == before


@pytest.mark.parametrize("committed", [False, True])
def test_edits_come_back(root, fork, committed):
    edit(fork / "django/db/base.py", "import os\n", "import os\nimport weakref\n")
    edit(fork / "tests/db/test_fork.py", "# Ours.\n", "# Ours, edited.\n")
    if committed:
        commit(fork)
    before, edited = read(root), read(fork)
    assert export(fork, root) == [
        root / "django/db/base.py.patch",
        root / "tests/db/test_fork.py",
    ]
    after = read(root)
    patch = after.pop("django/db/base.py.patch").decode()
    assert patch == before.pop("django/db/base.py.patch").decode().replace(
        "@@ -1,1 +1,2 @@\n import copy\n+import os\n@@ -2,1 +3,2 @@\n",
        "@@ -1,1 +1,3 @@\n import copy\n+import os\n+import weakref\n@@ -2,1 +4,2 @@\n",
    )
    assert after.pop("tests/db/test_fork.py") == b"# Ours, edited.\n"
    before.pop("tests/db/test_fork.py")
    assert after == before
    assert read(checkout(fork.with_name("again"), "6.1.3", root)) == edited
    assert export(fork, root) == []
    edit(fork / "tests/db/test_fork.py", "edited", "edited again")
    assert export(fork, root) == [root / "tests/db/test_fork.py"]


def test_hunk_that_moved_comes_back(root, fork):
    lines = "# One.\n# Two.\n"
    edit(fork / "django/db/base.py", "\n\nclass", f"\n\n{lines}class")
    edited = (fork / "django/db/base.py").read_text()
    assert export(fork, root) == [root / "django/db/base.py.patch"]
    patch = (root / "django/db/base.py.patch").read_text()
    assert patches.apply(patch, BASE, "6.1.3") == edited
    for line in (" import copy", "+import os", "+        self.pid = os.getpid()"):
        assert patch.count(line + "\n") == 1


def test_patch_that_another_release_needs_otherwise_serves_both(
    root, tmp_path, monkeypatch, capsys
):
    # The line before the edit stands twice in one release, nowhere in another.
    older = BASE + "\n\nclass Wrapper:\n    pass\n"
    others = {"django-5.2.19.tar.gz": older, "django-6.0.10.tar.gz": "import copy\n"}

    def files(archive, files=sources.files):
        if archive.name not in others:
            return files(archive)
        content = others[archive.name].encode()
        return {"django/db/base.py": File(content)}

    monkeypatch.setattr(sources, "files", files)
    fork = checkout(tmp_path / "fork", "6.1.3", root)
    edit(fork / "django/db/base.py", "class Wrapper:\n", "class Wrapper:\n    # New.\n")
    export(fork, root)
    patch = (root / "django/db/base.py.patch").read_text()
    assert "class Wrapper:\n    # New.\n    def" in patches.apply(patch, older, "5.2")
    note = capsys.readouterr().err
    assert "Note: django/db/base.py.patch: hunk 2 of 3" in note
    assert "Django 6.0.10" in note and "Django 5.2.19" not in note


def test_new_file_that_the_user_has_git_ignore_comes_back(root, fork, tmp_path):
    write(tmp_path, {"ignored": "test_new.py\n"})
    git(fork, "config", "core.excludesFile", str(tmp_path / "ignored"))
    write(fork, {"tests/db/test_new.py": "# New.\n"})
    edit(root / "overlay/manifest.toml", '"docs/db.txt"]', '"tests/db/test_new.py"]')
    edit(root / "overlay/manifest.toml", 'since = { "docs/db.txt" = "6.1" }', "")
    (fork / "docs/db.txt").write_text("Databases\n")
    assert export(fork, root) == [root / "tests/db/test_new.py"]


def test_new_file_comes_back_once_the_manifest_names_it(root, fork):
    write(fork, {"tests/db/test_new.py": "# New.\n", "django/db/other.py": ""})
    edit(fork / "django/db/base.py", "import os\n", "import sys\n")
    before = read(root)
    with pytest.raises(OverlayError) as caught:
        export(fork, root)
    assert "does not name django/db/other.py, tests/db/test_new.py" in str(caught.value)
    assert read(root) == before
    edit(root / "overlay/manifest.toml", '"tests/db/test_fork.py"', '"tests/x.py"')
    manifest_text = (root / "overlay/manifest.toml").read_text()
    (root / "overlay/manifest.toml").write_text(
        manifest_text.replace(
            '"tests/x.py"',
            '"tests/db/test_fork.py", "tests/db/test_new.py", "django/db/other.py"',
        )
    )
    export(fork, root)
    assert (root / "tests/db/test_new.py").read_text() == "# New.\n"
    assert (root / "django/db/other.py").read_text() == ""
    assert read(checkout(fork.with_name("again"), "6.1.3", root)) == read(fork)


@pytest.mark.parametrize("committed", [False, True])
def test_deleted_file_is_deleted_here(root, fork, committed, capsys):
    (fork / "tests/db/test_fork.py").unlink()
    if committed:
        commit(fork)
    before = read(root)
    assert export(fork, root) == [root / "tests/db/test_fork.py"]
    del before["tests/db/test_fork.py"]
    assert read(root) == before
    assert "remove it from overlay/manifest.toml" in capsys.readouterr().err


def test_undone_change_deletes_the_patch(root, fork):
    (fork / "docs/db.txt").write_text("Databases\n")
    assert export(fork, root) == [root / "docs/db.txt.patch"]
    assert not (root / "docs/db.txt.patch").exists()


def test_deleted_file_of_django_is_an_error(root, fork):
    (fork / "tests/runtests.py").unlink()
    before = read(root)
    with pytest.raises(OverlayError, match="tests/runtests.py: a file of Django's"):
        export(fork, root)
    assert read(root) == before


def test_change_to_another_file_of_django_is_an_error(root, fork):
    write(fork, {"django/__init__.py": "VERSION = 0\n"})
    with pytest.raises(OverlayError, match="does not name django/__init__.py"):
        export(fork, root)


def test_release_that_a_path_is_not_for_leaves_it_alone(root, tmp_path):
    fork = checkout(tmp_path / "fork", "5.2.19", root)
    edit(fork / "django/db/base.py", "import os\n", "import sys\n")
    assert export(fork, root) == [root / "django/db/base.py.patch"]
    write(fork, {"docs/db.txt": "Databases\n"})
    with pytest.raises(OverlayError, match="docs/db.txt for Django 5.2.19"):
        export(fork, root)


def test_junk_and_our_own_files_are_passed_over(root, fork):
    write(
        fork,
        {
            "django/__pycache__/x.cpython-312.pyc": "",
            "Django.egg-info/PKG-INFO": "",
            "docs/_build/index.html": "",
            "tests/db/test_fork.py.orig": "",
        },
    )
    before = read(root)
    assert export(fork, root) == []
    assert read(root) == before


def test_patch_that_still_gives_the_same_is_kept(root, fork):
    patch = root / "django/db/base.py.patch"
    edit(
        patch,
        "@@ -2,1 +3,2 @@\n",
        "@@ -6,2 +7,3 @@ by hand\n     def __init__(self):\n",
    )
    before = read(root)
    edit(fork / "tests/db/test_fork.py", "Ours", "Edited")
    assert export(fork, root) == [root / "tests/db/test_fork.py"]
    assert (patch.read_bytes(),) == (before["django/db/base.py.patch"],)


def test_what_was_edited_here_as_well_is_not_lost(root, fork):
    write(root, {"tests/db/test_fork.py": "# Newer here.\n"})
    before = read(root)
    with pytest.raises(OverlayError, match="tests/db/test_fork.py was edited here"):
        export(fork, root)
    assert read(root) == before
    (root / "tests/db/test_fork.py").unlink()
    assert export(fork, root) == [root / "tests/db/test_fork.py"]
    assert (root / "tests/db/test_fork.py").read_text() == "# Ours.\n"


def test_line_endings_are_those_of_the_files(root, fork):
    (fork / "tests/db/test_fork.py").write_bytes(b"one\r\ntwo\n")
    export(fork, root)
    assert (root / "tests/db/test_fork.py").read_bytes() == b"one\r\ntwo\n"


@pytest.mark.parametrize("kind", ["missing", "plain", "repository", "inside"])
def test_what_is_not_a_checkout_is_refused(root, fork, tmp_path, kind):
    directory = tmp_path / "other"
    if kind == "plain":
        write(directory, {"PKG-INFO": "Version: 6.1.3\n"})
    elif kind == "repository":
        write(directory, {"PKG-INFO": "Version: 6.1.3\n"})
        git(directory, "init", "--quiet")
        commit(directory)
    elif kind == "inside":
        directory = fork / "django"
    with pytest.raises(OverlayError, match="is not what 'overlay checkout' made"):
        export(directory, root)


def test_failed_write_leaves_everything_as_it_was(root, fork, monkeypatch):
    edit(fork / "django/db/base.py", "import os\n", "import sys\n")
    edit(root / "overlay/manifest.toml", '"tests/db/test_fork.py"', '"tests/db/x/y.py"')
    (fork / "tests/db/test_fork.py").unlink()
    write(fork, {"tests/db/x/y.py": ""})
    write(root, {"tests/db/x": "a file where a directory has to be"})
    before = read(root)
    with pytest.raises(OverlayError, match="can't be written"):
        export(fork, root)
    assert read(root) == before


@pytest.mark.parametrize("version", releases.RELEASES)
def test_checkout_and_export_leave_this_repository_as_it_was(tmp_path, version):
    names = [name for change in manifest.changes() for name in change.paths.values()]
    copy = tmp_path / "copy"
    for file in [ROOT / manifest.NAME, *(manifest.source(name)[0] for name in names)]:
        target = copy / file.relative_to(ROOT)
        os.makedirs(target.parent, exist_ok=True)
        shutil.copyfile(file, target)
    before = read(copy)
    assert len(before) == 1 + len(names)
    fork = checkout(tmp_path / "fork", version, copy)
    assert export(fork, copy) == []
    assert read(copy) == before
