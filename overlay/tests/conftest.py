"""A small Django, an overlay of it, and a git that knows only the tests."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from overlay import sources
from overlay.git import git

MANIFEST = """\
[[commit]]
message = \"""
Fixed #1 -- Added forking.

Ref #2 also counts, as does this line:
# not a comment.
\"""
paths = ["django/db/base.py", "tests/db/test_fork.py"]

[[commit]]
message = "Fixed #3 -- Documented forking."
paths = ["docs/db.txt"]
since = { "docs/db.txt" = "6.1" }
"""

BASE = """\
import copy


class Wrapper:
    def __init__(self):
        self.alias = "default"

    def close(self):
        self.alias = None

    def commit(self):
        self.alias = None
"""

PATCH = """\
--- a/django/db/base.py
+++ b/django/db/base.py
@@ -1,1 +1,2 @@
 import copy
+import os
@@ -2,1 +3,2 @@
         self.alias = "default"
+        self.pid = os.getpid()
"""

DOCS_PATCH = """\
--- a/docs/db.txt
+++ b/docs/db.txt
@@ -1,1 +1,3 @@
 Databases
+
+Forking is supported.
"""

DJANGO = {
    "PKG-INFO": "Name: Django\n",
    "django/__init__.py": "",
    "django/db/base.py": BASE,
    "django/db/café.py": "# Not ASCII.\r\n",
    "docs/db.txt": "Databases\n",
    "tests/runtests.py": "#!/usr/bin/env python\n",
}

# What the other releases have otherwise: the lines are the same but moved.
RELEASES = {
    "5.2.19": DJANGO | {"django/db/base.py": "# Older.\n" + BASE, "docs/db.txt": "?\n"},
    "6.0.10": DJANGO | {"docs/db.txt": "?\n"},
    "6.1.3": DJANGO,
}


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    """A git configuration of the user's that must not get in the way."""
    for hook in ("pre-commit", "post-checkout", "applypatch-msg"):
        write(tmp_path / "hooks", {hook: "#!/bin/sh\nexit 1\n"})
        (tmp_path / "hooks" / hook).chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[core]\nautocrlf = true\nhooksPath = {tmp_path}/hooks\n"
        "[commit]\ngpgsign = true\n[user]\nuseConfigOnly = true\n"
        "[safe]\ndirectory = *\n[format]\nsignOff = true\n"
    )
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def django(tmp_path, monkeypatch, configuration):
    """The small Django in three releases, as sdists that sources finds."""

    def archive(version):
        return tmp_path / f"django-{version}.tar.gz"

    for version, files in RELEASES.items():
        pack(archive(version), f"django-{version}", files)
    monkeypatch.setattr(sources, "sdist", archive)
    monkeypatch.setattr(sources, "cached", archive)


@pytest.fixture
def root(tmp_path, django):
    """The small overlay."""
    return write(
        tmp_path / "overlay",
        {
            "overlay/manifest.toml": MANIFEST,
            "django/db/base.py.patch": PATCH,
            "docs/db.txt.patch": DOCS_PATCH,
            "docs/pull-request.md": "Please merge.\n",
            "tests/db/test_fork.py": "# Ours.\n",
            "tests/runtests.py": "# Ours alone.\n",
        },
    )


@pytest.fixture
def series(root):
    """The small overlay with a second commit for the same paths."""
    with open(root / "overlay/manifest.toml", "a") as file:
        file.write(
            '\n[[commit]]\nmessage = "Refs #1 -- More."\nfollow_up = true\n'
            'paths = ["django/db/base.py", "tests/db/test_fork.py"]\n'
        )
    return write(
        root,
        {
            "django/db/base.py.2.patch": (
                "--- a/django/db/base.py\n+++ b/django/db/base.py\n"
                "@@ -1,1 +1,2 @@\n     def commit(self):\n+        # Ours.\n"
            ),
            "tests/db/test_fork.py.2.patch": (
                "--- a/tests/db/test_fork.py\n+++ b/tests/db/test_fork.py\n"
                "@@ -1,1 +1,2 @@\n # Ours.\n+# Ours, too.\n"
            ),
        },
    )


def pack(archive, top, files):
    with tarfile.open(archive, "w:gz") as tar:
        for path, content in {**files, "Django.egg-info/PKG-INFO": ""}.items():
            member = tarfile.TarInfo(f"{top}/{path}")
            member.size = len(content.encode())
            member.mtime = 1_700_000_000
            member.mode = 0o755 if content.startswith("#!") else 0o644
            tar.addfile(member, io.BytesIO(content.encode()))


def write(directory, files):
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content.encode())
    return directory


def read(directory):
    """Return every file under `directory` but git's own, by its path."""
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in sorted(Path(directory).rglob("*"))
        if file.is_file() and ".git" not in file.parts
    }


def log(directory, format, *arguments):
    return git(directory, "log", f"--format={format}", *arguments).decode()


def edit(file, old, new):
    content = file.read_text()
    assert content.count(old) == 1
    file.write_text(content.replace(old, new))
