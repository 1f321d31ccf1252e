import hashlib
import os
import re
import shlex
import shutil
import sys
import tarfile
import types
import venv
import zipfile

import pytest

from checks import trees
from overlay import ROOT, buildapi, environment, sources
from overlay.errors import OverlayError
from overlay.git import git
from overlay.releases import LOCAL
from overlay.tests.building import (
    assert_one_line,
    hook,
    install,
    repository,
    run,
)

# The newest that the running Python supports, and one that all do.
NEWEST = "6.1.3" if sys.version_info >= (3, 12) else "5.2.19"
EVERYWHERE = "5.2.19"
IDENTITY = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The directory that the newest release is installed in."""
    return install(tmp_path_factory.mktemp("django"), NEWEST)


@pytest.fixture
def root(tmp_path):
    """A copy of this repository, without git."""
    return repository(tmp_path / "repository")


@pytest.fixture
def out(tmp_path):
    """Where frontends want wheels and sdists."""
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


@pytest.fixture
def environ(tmp_path):
    """A virtual environment of a user, and its pip."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=os.name != "nt")
    python = tmp_path / "venv" / environment.EXECUTABLE

    def pip(*arguments, check=True, **options):
        options.setdefault("cwd", tmp_path)
        command = (sys.executable, "-m", "pip", "--python", python)
        return run(*command, *arguments, check=check, **options)

    return types.SimpleNamespace(python=python, pip=pip)


def commit(root):
    """Make `root` a git repository of all that is in it."""
    (root / ".gitignore").write_text("build/\n__pycache__/\n")
    git(root, "init")
    git(root, "add", "--all")
    git(root, *IDENTITY, "commit", "--message=All")


def unpack(archive, directory):
    with tarfile.open(archive) as tar:
        # Debian 12's Python has no argument for it.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(directory)
    (tree,) = directory.iterdir()
    return tree


def paths(tree):
    return {
        path.relative_to(tree).as_posix(): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(tree).parts
    }


# What the hooks ask for.


def test_the_requirements_are_one_release_and_what_patches_it():
    for get_requires in (
        buildapi.get_requires_for_build_wheel,
        buildapi.get_requires_for_build_editable,
    ):
        for settings in (None, {}, {"django": NEWEST}):
            assert get_requires(settings) == [f"Django==={NEWEST}", *environment.TOOLS]
        assert get_requires({"django": "6.2rc1"})[0] == "Django===6.2rc1"


def test_the_oldest_python_gets_the_release_that_it_runs(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 11, 9, "final", 0))
    requirements = buildapi.get_requires_for_build_wheel()
    assert requirements[0] == "Django===5.2.19"
    with pytest.raises(SystemExit) as raised:
        buildapi.get_requires_for_build_wheel({"django": "6.0.10"})
    assert str(raised.value) == (
        "overlay: error: Django 6.0.10 needs Python 3.12 or later and this is Python "
        "3.11: use a newer one, or Django 5.2.19."
    )


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"django": "latest"}, "'latest' is not a version of Django"),
        ({"django": ""}, "'' is not a version of Django"),
        ({"django": "6.1.3+fork.2"}, "'6.1.3+fork.2' is not a version of Django"),
        ({"django": "6.1.3\nx"}, "is not a version of Django"),
        ({"django": ["5.2.19", "6.1.3"]}, "takes one release and was given ['5.2.19',"),
        ({"django": True}, "takes one release and was given True"),
        ({"--django": "6.1.3"}, "There is no setting '--django'"),
        ({"version": "6.1.3", "a": "1"}, "There is no setting 'a', 'version'"),
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "get_requires_for_build_wheel",
        "get_requires_for_build_editable",
        "prepare_metadata_for_build_wheel",
        "prepare_metadata_for_build_editable",
        "build_wheel",
        "build_editable",
        "build_sdist",
    ],
)
def test_settings_that_are_wrong(name, settings, words, out):
    hook = getattr(buildapi, name)
    with pytest.raises(SystemExit) as raised:
        hook(settings) if name.startswith("get_") else hook(str(out), settings)
    assert str(raised.value).startswith("overlay: error: ")
    assert "\n" not in str(raised.value) and words in str(raised.value)
    assert os.listdir(out) == []


def test_a_message_of_several_lines_becomes_one(monkeypatch):
    def check(version):
        raise OverlayError("Broken:\n  here.")

    monkeypatch.setattr(buildapi.releases, "check", check)
    with pytest.raises(SystemExit) as raised:
        buildapi.get_requires_for_build_wheel()
    assert str(raised.value) == "overlay: error: Broken: here."


# What they make of a Django that is installed.


def test_the_metadata_is_that_of_the_wheel(root, out, installed):
    wheel = hook(root, "build_wheel", out, {"django": NEWEST}, path=installed)
    for name in (
        "prepare_metadata_for_build_wheel",
        "prepare_metadata_for_build_editable",
    ):
        directory = out / name
        directory.mkdir()
        dist_info = hook(root, name, directory, path=installed)
        assert dist_info == f"django-{NEWEST}+{LOCAL}.dist-info"
        with zipfile.ZipFile(out / wheel) as archive:
            assert paths(directory) == {
                path: archive.read(path)
                for path in archive.namelist()
                if path.startswith(f"{dist_info}/") and not path.endswith("/RECORD")
            }
    assert not (root / "build").exists()


@pytest.mark.parametrize(
    "name", ["prepare_metadata_for_build_wheel", "build_wheel", "build_editable"]
)
def test_an_environment_that_has_not_what_the_build_needs(name, root, out, environ):
    failed = hook(root, name, out, check=False, python=environ.python)
    assert_one_line(
        failed,
        f'needs "Django==={NEWEST}" and "unidiff',
        f'run python -m pip install "Django==={NEWEST}" "unidiff',
    )
    assert os.listdir(out) == [] and not (root / "build").exists()


def test_a_patch_that_does_not_apply(root, out, installed):
    patch = root / "django/db/backends/base/base.py.patch"
    patch.write_text(
        "--- a/django/db/backends/base/base.py\n+++ b/django/db/backends/base/base.py\n"
        "@@ -1,1 +1,2 @@\n No such line.\n+Ours.\n"
    )
    failed = hook(root, "build_wheel", out, check=False, path=installed)
    assert_one_line(failed, "base.py.patch: hunk 1 of 1", f"in Django {NEWEST}'s")
    assert os.listdir(out) == []


# The sdist.


def test_an_sdist_holds_what_git_knows_and_the_release(root, out):
    commit(root)
    expected = paths(root)
    for path in ("untracked.py", "build/cache/django.tar.gz", "PKG-INFO"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"Version: 5.2.19+{LOCAL}")
    (root / "overlay/export.py").unlink()
    del expected["overlay/export.py"]
    name = hook(root, "build_sdist", out)
    assert name == f"django-5.2.19+{LOCAL}.tar.gz"
    assert os.listdir(out) == [name]
    tree = unpack(out / name, out / "tree")
    assert tree.name == f"django-5.2.19+{LOCAL}"
    assert paths(tree) == expected | {
        "PKG-INFO": b"Metadata-Version: 2.1\nName: Django\nVersion: 5.2.19+%b\n"
        % LOCAL.encode()
    }


def test_an_sdist_without_git_leaves_out_what_work_left_behind(root, out):
    # Which has nothing to do with what is unpacked in it.
    commit(out)
    expected = paths(root)
    hook(root, "build_sdist", out)
    tree = unpack(out / f"django-{NEWEST}+{LOCAL}.tar.gz", out / "tree")
    for path in (
        "build/cache/django.tar.gz",
        "dist/django.whl",
        "django.tar.gz",
        "django.whl",
        "overlay/__pycache__/wheel.pyc",
        "overlay/tests/.pytest_cache/README.md",
        "venv/bin/python",
        ".venv/bin/python",
        ".tox/py/bin/python",
    ):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).touch()
    before = (out / f"django-{NEWEST}+{LOCAL}.tar.gz").read_bytes()
    hook(tree, "build_sdist", out)
    assert (out / f"django-{NEWEST}+{LOCAL}.tar.gz").read_bytes() == before
    shutil.rmtree(tree)
    tree = unpack(out / f"django-{NEWEST}+{LOCAL}.tar.gz", out / "again")
    assert paths(tree).keys() == expected.keys() | {"PKG-INFO"}


def test_the_same_repository_gives_the_same_sdist(root, out):
    def digest(**options):
        name = hook(root, "build_sdist", out, **options)
        return hashlib.sha256((out / name).read_bytes()).hexdigest()

    first = digest()
    for path in root.rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (1, 1))
    assert digest(umask=0o077, environ={"TZ": "Asia/Tokyo", "USER": "me"}) == first
    later = digest(environ={"SOURCE_DATE_EPOCH": "1700000000"})
    assert later != first
    archive = out / f"django-{NEWEST}+{LOCAL}.tar.gz"
    # RFC 1952: what gzip itself says of the time.
    assert archive.read_bytes()[4:8] == (1700000000).to_bytes(4, "little")
    with tarfile.open(archive) as tar:
        assert {
            (member.mtime, member.mode & ~0o111, member.uid, member.gid, member.uname)
            for member in tar
        } == {(1700000000, 0o644, 0, 0, "")}
    (root / "overlay/__init__.py").chmod(0o700)
    assert digest(environ={"SOURCE_DATE_EPOCH": "1700000000"}) != later


def test_an_sdist_is_built_for_the_release_that_it_carries(root, out):
    (root / "PKG-INFO").write_text(
        f"Metadata-Version: 2.1\nName: Django\nVersion: {EVERYWHERE}+{LOCAL}\n"
    )
    for settings in (None, {"django": EVERYWHERE}):
        requirements = hook(root, "get_requires_for_build_wheel", settings)
        assert requirements[0] == f"Django==={EVERYWHERE}"
    contradicting = {"django": "5.2.18"}
    for name in ("get_requires_for_build_wheel", "get_requires_for_build_editable"):
        failed = hook(root, name, contradicting, check=False)
        assert_one_line(failed, "is for Django 5.2.19 and can't be built for 5.2.18")
    for name in ("build_wheel", "build_sdist"):
        failed = hook(root, name, out, contradicting, check=False)
        assert_one_line(failed, "is for Django 5.2.19 and can't be built for 5.2.18")
    for version in ("5.2.19", "5.2.19+fork.0", "5.2.19+fork.10"):
        (root / "PKG-INFO").write_text(f"Name: Django\nVersion: {version}\n")
        failed = hook(root, "build_wheel", out, check=False)
        assert_one_line(failed, "PKG-INFO is not of this fork: remove it.")
    assert os.listdir(out) == []


def test_an_sdist_that_can_not_be_written(root, tmp_path):
    failed = hook(root, "build_sdist", tmp_path / "missing", check=False)
    assert_one_line(failed, "missing/django-", "can't be written")
    (root / ".git").mkdir()
    failed = hook(root, "build_sdist", tmp_path, check=False)
    assert_one_line(failed, "git ls-files failed")
    assert not list(tmp_path.glob("*.tar.gz"))


# Whole builds, by pip.


def test_pip_installs_it_as_django(root, environ, tmp_path):
    site = next(tmp_path.glob("venv/**/site-packages"))
    before = paths(tmp_path / "venv").keys()
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"Django=={NEWEST}+{LOCAL}\n")
    environ.pip("install", "--constraint", constraints, ".", cwd=root)
    # Another package, which knows nothing of the fork.
    other = site / "other-1.0.dist-info/METADATA"
    other.parent.mkdir()
    other.write_text(
        "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"
        f"Requires-Dist: Django<7,>=5.2\nRequires-Dist: Django=={NEWEST}\n"
    )
    check_installed(environ, NEWEST)
    shutil.rmtree(other.parent)
    environ.pip("install", "--upgrade", "--force-reinstall", ".", cwd=root)
    assert django_version(environ) == NEWEST
    environ.pip("uninstall", "--yes", "Django", "asgiref", "sqlparse")
    assert paths(tmp_path / "venv").keys() == before
    assert not (site / "django").exists() and not (root / "build").exists()


def test_what_readme_says_of_how_the_fork_leaves(environ):
    readme = (ROOT / "README.md").read_text()
    guard = re.search(r"guard: begin -->\s+```python\n(.*?)```", readme, re.DOTALL)[1]
    (undo,) = re.findall(r"^\$ pip (install --force.*)$", readme, re.MULTILINE)

    def stays():
        process = run(environ.python, "-c", guard, check=False)
        if process.returncode:
            *_, said = process.stderr.splitlines()
            assert said.startswith(f"ImportError: Django {NEWEST} shares database")
        return process.returncode == 0

    with trees.wheel(NEWEST) as wheel:
        environ.pip("install", wheel)
    for arguments in (["django"], ["--upgrade", "django"], [f"Django=={NEWEST}"]):
        environ.pip("install", *arguments)
        assert stays()
    environ.pip(*(word.replace("6.1.3", NEWEST) for word in shlex.split(undo)))
    assert not stays()
    if EVERYWHERE != NEWEST:
        with trees.wheel(EVERYWHERE) as wheel:
            environ.pip("install", wheel)
        assert stays()
        environ.pip("install", "--upgrade", "django")
        assert not stays()


def check_installed(environ, version):
    environ.pip("check")
    shown = environ.pip("show", "Django").stdout
    assert f"Name: Django\nVersion: {version}+{LOCAL}\n" in shown
    assert "Requires: asgiref, sqlparse\n" in shown
    assert django_version(environ) == version
    admin = environ.python.with_name("django-admin")
    assert run(admin, "--version").stdout.strip() == version


def django_version(environ):
    code = "import django; print(django.__version__)"
    return run(environ.python, "-c", code).stdout.strip()


def test_pip_builds_the_same_wheel_from_git_and_from_the_sdist(root, out):
    commit(root)
    sdist = out / hook(root, "build_sdist", out, {"django": EVERYWHERE})
    command = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir")
    run(
        *command,
        out / "git",
        f"git+{root.as_uri()}",
        f"--config-settings=django={EVERYWHERE}",
    )
    run(*command, out / "sdist", sdist)
    wheel = f"django-{EVERYWHERE}+{LOCAL}-py3-none-any.whl"
    assert os.listdir(out / "git") == os.listdir(out / "sdist") == [wheel]
    content = (out / "git" / wheel).read_bytes()
    assert content == (out / "sdist" / wheel).read_bytes()


def test_pip_installs_a_checkout_to_edit(root, environ, tmp_path):
    cache = root / "build/cache"
    cache.mkdir(parents=True)
    shutil.copy(sources.sdist(NEWEST), cache)
    before = paths(tmp_path / "venv").keys()
    environ.pip("install", "--editable", ".", cwd=root)
    tree = root / f"build/django-{NEWEST}"
    assert git(tree, "status", "--porcelain") == b""
    assert django_version(environ) == NEWEST
    code = "import django; print(django.__file__)"
    assert (
        run(environ.python, "-c", code).stdout.strip() == f"{tree}/django/__init__.py"
    )
    with open(tree / "django/__init__.py", "a") as file:
        file.write("EDITED = True\n")
    edited = git(tree, "diff")
    environ.pip("install", "--editable", ".", cwd=root)
    assert run(environ.python, "-c", "from django import EDITED").returncode == 0
    assert git(tree, "diff") == edited
    environ.pip("uninstall", "--yes", "Django", "asgiref", "sqlparse")
    assert paths(tmp_path / "venv").keys() == before
    assert git(tree, "diff") == edited


def test_pip_without_build_isolation(root, environ):
    install = ("install", "--no-deps", "--no-build-isolation", ".")
    failed = environ.pip(*install, cwd=root, check=False)
    assert failed.returncode == 1
    assert f'overlay: error: The build needs "Django==={NEWEST}" and' in failed.stderr
    assert "Traceback" not in failed.stderr
    environ.pip("install", "--no-deps", f"Django==={NEWEST}", *environment.TOOLS)
    environ.pip(*install, cwd=root)
    failed = environ.pip(*install, cwd=root, check=False)
    assert failed.returncode == 1
    assert f"and Django {NEWEST}+{LOCAL} is installed: run" in failed.stderr
    assert django_version(environ) == NEWEST


def test_pip_prints_what_is_wrong_with_a_setting(root, environ):
    failed = environ.pip(
        "install", ".", "--config-settings=django=latest", cwd=root, check=False
    )
    assert failed.returncode == 1
    assert "overlay: error: 'latest' is not a version of Django" in failed.stderr
    assert "Traceback" not in failed.stderr
