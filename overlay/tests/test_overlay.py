"""The commands and the build, as their users run them, in a copy of all."""

import shutil
import sys
import tarfile
import zipfile
from functools import partial
from subprocess import PIPE, STDOUT, run

import pytest

from checks import trees
from overlay import ROOT, environment, releases
from overlay.checkout import NOBODY, git
from overlay.commits import commits, paths

NEWEST = releases.usable()
# What our release notes stand next to.
NOTES = """This section describes changes that may be needed in third-party database
backends.\n\n.. _deprecated-features-6.2:\n"""
PARTS = ["django/__init__.py", "django/db", "django/dispatch", "docs"]
POSTGRESQL = "django/db/backends/postgresql/base.py"


def python(directory, *arguments, status=0, executable=sys.executable):
    """Run Python, check its status, and return all that it prints."""
    argv = [executable, *map(str, arguments)]
    done = run(argv, cwd=directory, stdout=PIPE, stderr=STDOUT, text=True, timeout=300)
    assert done.returncode == status, done.stdout
    return done.stdout


def overlay(repository, *arguments, status=0):
    return python(repository, "-m", "overlay", *arguments, status=status)


def wheel(source, directory, *arguments, status=0):
    command = ["-m", "pip", "wheel", "--no-deps", "-w", directory, source, *arguments]
    return python(ROOT, *command, status=status, executable=environment.with_pip())


def replace(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def committed(directory, *arguments):
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", *arguments, environ=NOBODY)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of this repository, whose downloads are those of the original."""
    copy = tmp_path_factory.mktemp("copy") / "repository"
    ignored = shutil.ignore_patterns("build", ".git", "__pycache__")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=ignored)
    (ROOT / "build/cache").mkdir(parents=True, exist_ok=True)
    (copy / "build").mkdir()
    (copy / "build/cache").symlink_to(ROOT / "build/cache")
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
    git(tmp_path, "clone", "--quiet", "--shared", made, "checkout")
    return tmp_path / "checkout"


@pytest.fixture
def clone(made, tmp_path):
    """What a clone of Django's main branch is like, where we change it."""
    clone = tmp_path / "clone"
    ada = ["--config=user.name=Ada", "--config=user.email=ada@invalid"]
    git(tmp_path, "clone", "--quiet", "--shared", "--no-checkout", *ada, made, clone)
    git(clone, "reset", "--quiet", "--soft", ":/^Django")
    git(clone, "checkout", "HEAD", "--", *PARTS, "tests/backends", "tests/transactions")
    replace(clone / "django/__init__.py", "VERSION = (6, 1,", "VERSION = (6, 2,")
    (clone / "docs/releases/6.2.txt").write_text(NOTES)
    committed(clone, "--message=Django 6.2")
    return clone


@pytest.mark.slow
def test_wheel_and_sdist(repository, tmp_path):
    """The sdist needs nothing of ours, and gives the same wheel."""
    hook = (
        # As before Python 3.11.4, which knows filters.
        "import sys, tarfile; extractall = tarfile.TarFile.extractall\n"
        "tarfile.TarFile.extractall = lambda *args: extractall(*args)\n"
        "from overlay import build; build.build_sdist(sys.argv[1])"
    )
    python(repository, "-c", hook, tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert "tests/backends/forking.py" in names and "overlay" not in names
    wheel(sdist, tmp_path / "made")
    (two,) = (tmp_path / "made").iterdir()
    with trees.wheel(NEWEST) as one:
        assert one.name == two.name == f"django-{NEWEST}+fork.4-py3-none-any.whl"
    with zipfile.ZipFile(one) as one, zipfile.ZipFile(two) as two:
        assert one.namelist() == two.namelist()
        for name in one.namelist():
            assert one.read(name) == two.read(name), name
        assert b"_pools_inherited" in one.read(POSTGRESQL)
        info = f"django-{NEWEST}+fork.4.dist-info"
        assert {name.partition("/")[0] for name in one.namelist()} == {"django", info}
        version = f"\nVersion: {NEWEST}+fork.4\nSummary: Patched to survive".encode()
        assert version in one.read(f"{info}/METADATA")


@pytest.mark.slow
@pytest.mark.parametrize("version", releases.RELEASES)
def test_checkout(repository, tmp_path, version):
    said = overlay(repository, "checkout", f"--django={version}", tmp_path / "made")
    log = git(tmp_path / "made", "log", "--reverse", "--format=%s").splitlines()
    assert log == [f"Django {version}", *(commit.subject for commit in commits())]
    assert f"{len(commits())} commits" in said
    assert "_pools_inherited = {}" in (tmp_path / "made" / POSTGRESQL).read_text()
    documented = "Forked processes" in git(tmp_path / "made", "diff", ":/^Django")
    assert documented == (version == releases.NEWEST)
    assert ("left out: docs/" in said) and ("docs/ref" in said) != documented


def test_messages():
    for commit in commits():
        assert max(map(len, commit.message.splitlines())) <= 72, commit.message
    added = [path for commit in commits() for path in commit.added]
    assert len(added) == len(set(added))
    assert all((ROOT / path).is_file() for path in added)


@pytest.mark.slow
def test_git_apply(checkout):
    """A reviewer's own tools make the same of the patches."""
    made = git(checkout, "rev-parse", "HEAD").strip()
    git(checkout, "reset", "--quiet", "--hard", ":/^Django")
    excluded = "docs/releases/*" if NEWEST == releases.NEWEST else "docs/*"
    for path in paths():
        git(checkout, "apply", "--index", f"--exclude={excluded}", path)
    assert not git(checkout, "diff", "--cached", "--diff-filter=d", made, "django")


@pytest.mark.slow
def test_export(repository, checkout):
    replace(checkout / POSTGRESQL, "# Nothing reaches", "# No byte reaches")
    export = partial(overlay, repository, "export", checkout)
    assert "no commit: git commit --fixup=COMMIT" in export(status=1)
    committed(checkout, "--fixup=:/Let server-side cursors")
    rebase = ["-c", "sequence.editor=:", "rebase", "--quiet", "-i", "--autosquash"]
    git(checkout, *rebase, ":/^Django", environ=NOBODY)
    git(checkout, "switch", "--quiet", "--detach", "HEAD^")
    assert "is not on a branch" in export(status=1)
    git(checkout, "switch", "--quiet", "main")
    (patch,) = (repository / "django").glob("*server-side*")
    before = patch.read_text()
    patch.write_text(before + "\n")
    assert "replaced here has changes that are in no commit" in export(status=1)
    assert patch.read_text() == before + "\n"
    patch.write_text(before)
    assert export() == f"Wrote {patch}\n"
    assert patch.read_text() == before.replace("# Nothing reaches", "# No byte reaches")
    patch.write_text(before)
    # A hunk for one release alone.
    replace(checkout / "django/__init__.py", "VERSION = (", "VERSION  = (")
    committed(checkout, "--message=Refs #1 -- Changed the version.")
    assert "stands 0 times" in export(status=1)
    assert git(repository, "status", "--porcelain") == ""


def test_pull_request(repository, clone):
    pull = partial(overlay, repository, "pull-request")
    assert (ROOT / "docs/pull-request.md").read_text() in pull(clone)
    notes = (clone / "docs/releases/6.2.txt").read_text()
    assert ("_discard()" in notes) == (NEWEST == releases.NEWEST)
    log = git(clone, "log", "--reverse", "--format=%an %s", ":/^Django 6.2..HEAD")
    assert log.splitlines() == [f"Ada {commit.subject}" for commit in commits()[:3]]
    assert git(clone, "status", "--porcelain", "--branch") == "## ticket_36957\n"
    assert "a branch named 'ticket_36957' already exists" in pull(clone, status=1)
    git(clone, "switch", "--quiet", "--detach", ":/^Django 6.2")
    git(clone, "branch", "--quiet", "-D", "ticket_36957")
    pull("--all", clone)
    assert git(clone, "log", "--format=%s").count("\n") == len(commits()) + 2


def test_pull_request_refused(repository, clone):
    def state():
        commands = (["status", "--branch"], ["branch", "--all"], ["worktree", "list"])
        return [git(clone, *command) for command in commands]

    def refused(because):
        before = state()
        said = overlay(repository, "pull-request", clone, status=1)
        assert because in said and said.count("error") == 1 and state() == before

    (clone / "untracked").write_text("")
    refused("is not clean")
    (clone / "untracked").unlink()
    replace(clone / POSTGRESQL, "import asyncio", "import asyncio ")
    refused("is not clean")
    committed(clone, "--message=Conflict")
    refused("A hunk does not apply: what it replaces stands 0 times")
    shutil.rmtree(clone / "django")
    refused("is not a clone of django/django")


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
@pytest.mark.parametrize("setting", ["django=4.2.1", "release=6.1.3"])
def test_wheel_refused(repository, tmp_path, setting):
    said = wheel(repository, tmp_path, f"--config-settings={setting}", status=1)
    assert said.count("overlay: error: ") == 1 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_damaged_download(tmp_path):
    """What is in the cache is taken only if it is what was released."""
    script = (
        "import sys; from pathlib import Path; from overlay import sources\n"
        "sources.CACHE = Path(sys.argv[1])\n"
        f"(sources.CACHE / 'django-{NEWEST}.tar.gz').write_bytes(b'damaged')\n"
        f"print(sources.sdist('{NEWEST}').stat().st_size)"
    )
    assert int(python(ROOT, "-c", script, tmp_path).splitlines()[-1]) > 10_000_000
