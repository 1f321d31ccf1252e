"""The commands and the build, as their users run them, in a copy of all."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from overlay import ROOT, releases
from overlay.checkout import NOBODY, git
from overlay.commits import commits, paths

NEWEST = releases.usable()
# What our release notes stand next to.
NOTES = """
This section describes changes that may be needed in third-party database
backends.

.. _deprecated-features-6.2:
"""
POSTGRESQL = "django/db/backends/postgresql/base.py"
NEEDS_GIT = pytest.mark.skipif(
    not shutil.which("git") and not os.environ.get("CI"),
    reason="git is not on this machine: install it",
)


def overlay(repository, *arguments, status=0, **environ):
    """Run a command, check its status, and return all that it prints."""
    process = subprocess.run(
        [sys.executable, "-m", "overlay", *map(str, arguments)],
        cwd=repository,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert process.returncode == status, process.stdout
    return process.stdout


def pip(*arguments):
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def committed(directory, *arguments, environ=NOBODY):
    git(directory, "add", "--all", environ=environ)
    git(directory, "commit", "--quiet", *arguments, environ=environ)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of this repository, whose downloads are those of the original."""
    copy = tmp_path_factory.mktemp("repository")
    names = ["django", "overlay", "tests", "docs", "pyproject.toml", "setup.cfg"]
    for name in names:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy)
    (ROOT / "build/cache").mkdir(parents=True, exist_ok=True)
    (copy / "build").mkdir()
    (copy / "build/cache").symlink_to(ROOT / "build/cache")
    (copy / ".gitignore").write_text("build\n__pycache__\n")
    git(copy, "init", "--quiet", environ=NOBODY)
    committed(copy, "--message=All")
    return copy


@pytest.fixture(scope="module")
def made(repository):
    """The checkout of the newest release that this Python runs."""
    overlay(repository, "checkout")
    return repository / f"build/django-{NEWEST}"


@pytest.fixture
def checkout(made, tmp_path):
    return shutil.copytree(made, tmp_path / "checkout", symlinks=True)


@pytest.fixture
def clone(made, tmp_path):
    """What a clone of Django's main branch is like."""
    git(tmp_path, "clone", "--quiet", made, "clone")
    git(tmp_path / "clone", "reset", "--quiet", "--hard", ":/^Django")
    git(tmp_path / "clone", "config", "user.name", "Ada")
    git(tmp_path / "clone", "config", "user.email", "ada@invalid")
    init = tmp_path / "clone/django/__init__.py"
    init.write_text(init.read_text().replace("VERSION = (6, 1,", "VERSION = (6, 2,"))
    (tmp_path / "clone/docs/releases/6.2.txt").write_text(NOTES)
    committed(tmp_path / "clone", "--message=Django 6.2")
    return tmp_path / "clone"


@NEEDS_GIT
@pytest.mark.slow
@pytest.mark.parametrize("version", releases.RELEASES)
def test_checkout(repository, tmp_path, version):
    said = overlay(repository, "checkout", f"--django={version}", tmp_path / "made")
    log = git(tmp_path / "made", "log", "--reverse", "--format=%s").splitlines()
    assert log == [f"Django {version}", *(commit.subject for commit in commits())]
    assert f"{len(commits())} commits" in said
    source = (tmp_path / "made" / POSTGRESQL).read_text()
    assert "_pools_inherited = False" in source
    documented = "Forked processes" in git(
        tmp_path / "made", "show", "HEAD:docs/ref/databases.txt"
    )
    assert documented == (version == releases.NEWEST)
    assert ("left out: docs/" in said) and ("docs/ref" in said) != documented


def test_messages():
    for commit in commits():
        assert max(map(len, commit.message.splitlines())) <= 72, commit.message
    added = [path for commit in commits() for path in commit.added]
    assert len(added) == len(set(added))
    assert all((ROOT / path).is_file() for path in added)


@NEEDS_GIT
@pytest.mark.slow
def test_git_apply(checkout):
    """A reviewer's own tools make the same of the patches."""
    made = git(checkout, "rev-parse", "HEAD").strip()
    git(checkout, "reset", "--quiet", "--hard", ":/^Django")
    for path in paths():
        notes = "--exclude=docs/releases/*"
        if releases.series(NEWEST) < releases.series(releases.NEWEST):
            notes = "--exclude=docs/*"
        git(checkout, "apply", notes, path)
        git(checkout, "add", "--all")
    difference = ["diff", "--cached", "--diff-filter=d", "--stat", made, "--"]
    assert git(checkout, *difference, "django") == ""


@NEEDS_GIT
@pytest.mark.slow
def test_export(repository, checkout):
    source = checkout / POSTGRESQL
    source.write_text(
        source.read_text().replace("# Nothing reaches", "# No byte reaches")
    )
    refused = overlay(repository, "export", checkout, status=1)
    assert "no commit: git commit --fixup=COMMIT" in refused
    (subject,) = [c.subject for c in commits() if "server-side" in c.subject]
    committed(checkout, f"--fixup=:/{subject[:40]}")
    git(
        *(checkout, "-c", "sequence.editor=:"),
        *("rebase", "--quiet", "--interactive", "--autosquash", ":/^Django"),
        environ=NOBODY,
    )
    (patch,) = [path for path in paths() if "server-side" in path.name]
    patch = repository / patch.relative_to(ROOT)
    before = patch.read_text()
    patch.write_text(before + "\n")
    lost = overlay(repository, "export", checkout, status=1)
    assert "would be replaced here has changes that are in no commit" in lost
    assert patch.read_text() == before + "\n"
    patch.write_text(before)
    assert overlay(repository, "export", checkout) == f"Wrote {patch}\n"
    changed = patch.read_text()
    assert changed == before.replace("# Nothing reaches", "# No byte reaches")
    patch.write_text(before)


@NEEDS_GIT
@pytest.mark.slow
def test_export_of_a_hunk_for_one_release(repository, checkout):
    path = checkout / "django/__init__.py"
    path.write_text(path.read_text().replace("VERSION = (", "VERSION  = ("))
    committed(checkout, "--message=Refs #1 -- Changed the version.")
    assert "stands 0 times" in overlay(repository, "export", checkout, status=1)
    assert git(repository, "status", "--porcelain") == ""


@NEEDS_GIT
def test_pull_request(repository, clone):
    text = overlay(repository, "pull-request", clone)
    assert (ROOT / "docs/pull-request.md").read_text() in text
    notes = (clone / "docs/releases/6.2.txt").read_text()
    assert ("_discard()" in notes) == (NEWEST == releases.NEWEST)
    span = ":/^Django 6.2..ticket_36957"
    log = git(clone, "log", "--reverse", "--format=%an %s", span)
    assert log.splitlines() == [f"Ada {commit.subject}" for commit in commits()[:3]]
    assert git(clone, "status", "--porcelain", "--branch") == "## ticket_36957\n"
    exists = overlay(repository, "pull-request", clone, status=1)
    assert "a branch named 'ticket_36957' already exists" in exists
    git(clone, "switch", "--quiet", "--detach", ":/^Django 6.2")
    git(clone, "branch", "--quiet", "-D", "ticket_36957")
    overlay(repository, "pull-request", "--all", clone)
    assert git(clone, "log", "--format=%s").count("\n") == len(commits()) + 2


@NEEDS_GIT
def test_pull_request_refused(repository, clone):
    def refused(because, **environ):
        state = git(clone, "status", "--branch"), git(clone, "branch", "--all")
        said = overlay(repository, "pull-request", clone, status=1, **environ)
        assert because in said and said.count("error") == 1
        assert (
            git(clone, "status", "--branch"),
            git(clone, "branch", "--all"),
        ) == state
        assert git(clone, "worktree", "list").count("\n") == 1

    (clone / "untracked").write_text("")
    refused("is not clean")
    (clone / "untracked").unlink()
    source = clone / POSTGRESQL
    source.write_text(source.read_text().replace("import asyncio", "import asyncio "))
    refused("is not clean")
    committed(clone, "--message=Conflict")
    refused("A hunk does not apply: what it replaces stands 0 times")
    shutil.rmtree(clone / "django")
    said = overlay(repository, "pull-request", clone, status=1)
    assert "is not a clone of django/django" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["checkout", "9.9.9"], "write --django=9.9.9 for a release"),
        (["checkout", "--django=six"], "'six' is not a version of Django"),
        (["checkout", "--django=6.1.999", "new"], "Is there such a release"),
        (["checkout", "docs"], "docs is not empty"),
        (["export", "docs"], "docs is not what 'overlay checkout' made"),
        (["pull-request", "docs"], "is not a clone of django/django"),
    ],
)
def test_one_line(repository, arguments, said):
    output = overlay(repository, *arguments, status=1)
    (line,) = [line for line in output.splitlines() if "error" in line]
    assert line.startswith("overlay: error: ") and said in line and len(line) < 500
    assert not (repository / "new").exists()


@pytest.mark.slow
def test_wheel_and_sdist(repository, tmp_path):
    """The sdist needs nothing of ours, and gives the same wheel."""
    built = pip("wheel", "--no-deps", "--wheel-dir", tmp_path / "one", repository)
    assert built.returncode == 0, built.stdout
    hook = "import sys; from overlay import build; build.build_sdist(sys.argv[1])"
    command = [sys.executable, "-c", hook, tmp_path]
    subprocess.run(command, cwd=repository, check=True, timeout=300)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert "tests/backends/forking.py" in names and "overlay" not in names
    built = pip("wheel", "--no-deps", "--wheel-dir", tmp_path / "two", sdist)
    assert built.returncode == 0, built.stdout
    (one,), (two,) = (list((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert one.name == two.name == f"django-{NEWEST}+fork.4-py3-none-any.whl"
    with zipfile.ZipFile(one) as one, zipfile.ZipFile(two) as two:
        assert one.namelist() == two.namelist()
        for name in one.namelist():
            assert one.read(name) == two.read(name), name
        assert b"_pools_inherited" in one.read(POSTGRESQL)
        metadata = f"django-{NEWEST}+fork.4.dist-info"
        tops = {name.partition("/")[0] for name in one.namelist()}
        assert tops == {"django", metadata}
        version = f"\nVersion: {NEWEST}+fork.4\n"
        assert version in one.read(f"{metadata}/METADATA").decode()


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["django=4.2.1", "release=6.1.3"])
def test_wheel_refused(repository, tmp_path, setting):
    settings = f"--config-settings={setting}"
    built = pip("wheel", "--no-deps", "-w", tmp_path, repository, settings)
    assert built.returncode == 1
    assert built.stdout.count("overlay: error: ") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_damaged_download(tmp_path):
    """What is in the cache is taken only if it is what was released."""
    script = (
        "import sys; from pathlib import Path; from overlay import sources\n"
        "sources.CACHE = Path(sys.argv[1])\n"
        f"(sources.CACHE / 'django-{NEWEST}.tar.gz').write_bytes(b'damaged')\n"
        f"print(sources.sdist('{NEWEST}').stat().st_size)"
    )
    command = [sys.executable, "-c", script, tmp_path]
    output = subprocess.check_output(command, cwd=ROOT, text=True, timeout=300)
    assert int(output) > 10_000_000
