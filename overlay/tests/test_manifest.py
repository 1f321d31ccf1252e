import pytest

from overlay import ROOT, manifest, releases, sources
from overlay.errors import OverlayError
from overlay.files import reader
from overlay.git import git
from overlay.tests.conftest import BASE, write


def test_changes_are_in_order_with_their_messages(root):
    first, second = manifest.changes(root=root)
    assert first.message.startswith("Fixed #1 -- Added forking.\n\n")
    assert first.message.endswith("\n# not a comment.\n")
    assert first.subject == "Fixed #1 -- Added forking."
    assert list(first.paths) == ["django/db/base.py", "tests/db/test_fork.py"]
    assert second == (
        "Fixed #3 -- Documented forking.\n",
        {"docs/db.txt": "docs/db.txt"},
        False,
    )


def test_since_leaves_a_path_out_of_releases_before(root):
    assert len(manifest.changes("5.2.19", root)) == 1
    assert len(manifest.changes("6.0.10", root)) == 1
    assert len(manifest.changes("6.1.3", root)) == 2
    assert len(manifest.changes("10.0", root)) == 2


def named(paths):
    return {path: path for path in paths}


def commit(paths, rest=""):
    return f'[[commit]]\nmessage = "m"\npaths = {paths}\n{rest}'


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "names no commit"),
        ("[[commit]\n", "manifest.toml"),
        ('[[commit]]\npaths = ["django/a.py"]\n', "needs a message"),
        (commit([]), "list of paths"),
        (commit('"django/a.py"'), "list of paths"),
        (commit(["django/a.py"], "since = 6.1\n"), "is a table"),
        (commit(["django/a.py", "django/a.py"]), "django/a.py twice"),
        (commit(["django/a.py"], "follow_up = 1\n"), "true or false"),
        (
            commit(["django/a.py"], "follow_up = true\n") + commit(["django/b.py"]),
            "commit 2 comes after a follow-up",
        ),
        (commit(["README.md"]), "'README.md' is not a path"),
        (commit(["overlay/git.py"]), "'overlay/git.py' is not a path"),
        (commit(["django/../x.py"]), "is not a path"),
        (commit(["/django/x.py"]), "is not a path"),
        (commit(["django"]), "is not a path"),
        (commit([1]), "1 is not a path"),
        (commit(["django/a.py"], 'since = {"django/b.py" = "6.1"}\n'), "django/b.py"),
        (commit(["django/a.py"], 'since = {"django/a.py" = "x"}\n'), "'x'"),
    ],
)
def test_manifest_that_is_not_in_order_is_an_error(tmp_path, text, reason):
    root = write(tmp_path, {manifest.NAME: text})
    with pytest.raises(OverlayError, match=reason):
        manifest.changes("6.1.3", root)


def test_missing_manifest_is_an_error(tmp_path):
    with pytest.raises(OverlayError, match="manifest.toml"):
        manifest.changes(root=tmp_path)


def test_patched_applies_patches_and_takes_whole_files(root):
    paths = ["django/db/base.py", "tests/db/test_fork.py"]
    theirs = {"django/db/base.py": BASE.encode()}
    contents = manifest.patched(theirs.get, named(paths), "6.1.3", root)
    assert list(contents) == paths
    assert b"import copy\nimport os\n" in contents["django/db/base.py"]
    assert contents["tests/db/test_fork.py"] == b"# Ours.\n"


@pytest.mark.parametrize(
    "theirs, paths, reason",
    [
        ({}, ["django/db/base.py"], "Django 6.1.3 has no django/db/base.py"),
        ({"django/db/base.py": b"\xff"}, ["django/db/base.py"], "not UTF-8"),
        ({"django/db/base.py": b""}, ["django/db/base.py"], "nowhere"),
        ({"tests/db/test_fork.py": b""}, ["tests/db/test_fork.py"], "of its own"),
        ({}, ["django/new.py"], "neither as a file nor as django/new.py.patch"),
    ],
)
def test_what_can_not_be_patched_is_an_error(root, theirs, paths, reason):
    with pytest.raises(OverlayError, match=reason):
        manifest.patched(theirs.get, named(paths), "6.1.3", root)


def test_commits_that_change_the_same_path_have_patches_of_their_own(series):
    first, docs, third = manifest.changes("6.1.3", series)
    assert third.paths == {
        "django/db/base.py": "django/db/base.py.2",
        "tests/db/test_fork.py": "tests/db/test_fork.py.2",
    }
    assert third.follow_up
    theirs = {"django/db/base.py": BASE.encode(), "docs/db.txt": b"Databases\n"}
    contents = manifest.applied(theirs.get, [first, docs, third], "6.1.3", series)
    assert [list(each) for each in contents] == [
        list(change.paths) for change in (first, docs, third)
    ]
    assert b"\nimport os\n" in contents[2]["django/db/base.py"]
    assert b"commit(self):\n        # Ours.\n" in contents[2]["django/db/base.py"]
    assert contents[0]["tests/db/test_fork.py"] == b"# Ours.\n"
    assert contents[2]["tests/db/test_fork.py"] == b"# Ours.\n# Ours, too.\n"
    with pytest.raises(OverlayError, match="base.py.2.patch does not apply"):
        manifest.applied({}.get, [third], "6.1.3", series)


def test_within_leaves_out_other_paths(series):
    changes = manifest.within("docs/", manifest.changes("6.1.3", series))
    assert [list(change.paths) for change in changes] == [["docs/db.txt"]]


def test_path_as_file_and_as_patch_is_an_error(root):
    write(root, {"django/db/base.py": ""})
    with pytest.raises(OverlayError, match="both as a file and as a patch"):
        manifest.patched({}.get, named(["django/db/base.py"]), "6.1.3", root)


@pytest.mark.parametrize("version", releases.RELEASES)
def test_patches_are_applied_by_git_as_well(tmp_path, version):
    """README says so. The numbers in the headers of hunks are not lines."""
    files = sources.files(sources.sdist(version))
    changes = manifest.changes(version)
    contents = manifest.applied(reader(files), changes, version)
    for change, made in zip(changes, contents):
        for path, name in change.paths.items():
            file, is_patch = manifest.source(name)
            target = tmp_path / path
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                theirs = files[path].content if path in files else b""
                target.write_bytes(theirs if is_patch else file.read_bytes())
            if is_patch:
                git(tmp_path, "apply", "--unidiff-zero", str(file))
            assert target.read_bytes() == made[path]


def test_no_file_is_left_that_no_commit_names():
    named = {
        str(manifest.source(name, ROOT)[0].relative_to(ROOT))
        for change in manifest.changes()
        for name in change.paths.values()
    }
    there = {
        str(path.relative_to(ROOT))
        for tree in ("django", "docs", "tests")
        for path in (ROOT / tree).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        # What the fork's own users read lies beside what goes upstream.
        and path.suffix not in (".md", ".json")
    }
    assert there - named == {"tests/runtests.py"}


# As Django's main branch has it, but for what is written below the headings.
NOTES = """\
What's new in Django 6.2
========================

* ...

Backwards incompatible changes in 6.2
=====================================

Database backend API
--------------------

This section describes changes that may be needed in third-party database
backends.

* ...

Miscellaneous
-------------

* A change.

.. _deprecated-features-6.2:

Features deprecated in 6.2
==========================

Miscellaneous
-------------

* ...
"""


def test_release_notes_are_put_where_they_belong():
    path = "docs/releases/6.2.txt"
    changes = manifest.within(path, manifest.changes("6.2"))
    assert manifest.within(path, manifest.changes(releases.newest())) == []
    *_, last = manifest.applied({path: NOTES.encode()}.get, changes, "6.2")
    lines = last[path].decode().splitlines()

    def place(start):
        (found,) = (n for n, line in enumerate(lines) if line.startswith(start))
        return found

    other = place("* A change.")
    assert place("Database backend API") < place("* After ``fork()``, the pri") < other
    assert other < place("* A process that is forked") < place(".. _deprecated-")
    assert other < place("* A PostgreSQL :ref:`conn") < place(".. _deprecated-")
    assert lines.count("") - NOTES.splitlines().count("") == 3


POOLS = "django/db/backends/postgresql/base.py"


def applied_to(edit):
    """Apply everything to the newest release in which POOLS is as `edit`ed."""
    version = releases.newest()
    files = sources.files(sources.sdist(version))
    contents = {path: file.content for path, file in files.items()}
    contents[POOLS] = edit(contents[POOLS].decode()).encode()
    return manifest.applied(contents.get, manifest.changes(version), version)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: "# One.\n# More.\n" + text,
        lambda text: text.replace("import asyncio\n", "import array\nimport asyncio\n"),
        lambda text: text.replace(
            "    @property\n    def pool", "\n    @property\n    def pool"
        ),
        lambda text: text.replace("# Set the default options.", "# Defaults."),
    ],
    ids=["shifted", "import", "blank", "comment"],
)
def test_django_that_has_moved_on_a_little(edit):
    before, after = applied_to(lambda text: text), applied_to(edit)
    assert [list(contents) for contents in after] == [list(each) for each in before]
    ours = b"_remove_inherited_pools()"
    assert [each.get(POOLS, b"").count(ours) for each in before] == [
        each.get(POOLS, b"").count(ours) for each in after
    ]


@pytest.mark.parametrize(
    "edit, reason",
    [
        (
            lambda text: text.replace("in self._connection_pools:", "in self._pools:"),
            r"base.py.patch: hunk 5 of 8 .*: line \d+ has "
            "'if self.alias not in self._pools:' instead of "
            "'if self.alias not in self._connection_pools:'",
        ),
        (
            lambda text: text.replace(
                "if self.alias not in self._connection_pools:",
                "if self._connection_pools.get(self.alias) is None:",
            ),
            "base.py.patch: hunk 5 of 8 .* stand nowhere",
        ),
    ],
    ids=["renamed", "rewritten"],
)
def test_django_that_has_moved_on_too_far(edit, reason):
    with pytest.raises(OverlayError, match=reason):
        applied_to(edit)
