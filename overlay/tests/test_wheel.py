import base64
import csv
import difflib
import errno
import functools
import hashlib
import os
import re
import stat
import time
import types
import zipfile

import pytest
from installer.sources import WheelFile

from overlay import ROOT, checkout, manifest, patches, wheel
from overlay.errors import OverlayError
from overlay.files import File
from overlay.releases import LOCAL, RELEASES
from overlay.tests.building import install, released_wheel
from overlay.tests.conftest import write

VERSION = "9.9.1"
RELEASED = {
    "django/__init__.py": "VERSION = (9, 9, 1)\n",
    "django/db/base.py": "# Ours? No.\n",
    "django-9.9.1.dist-info/METADATA": (
        "Metadata-Version: 2.4\nName: Django\nVersion: 9.9.1\n\nVersion: 9.9.1\n"
    ),
    "django-9.9.1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: a\n\n",
    "django-9.9.1.dist-info/licenses/AUTHORS": "Somebody\n",
}
MANIFEST = """\
[[commit]]
message = "Added a file."
paths = [
    "django/db/base.py",
    "django/db/new.py",
    "django/db/later.py",
    "tests/db/test_new.py",
]
since = { "django/db/later.py" = "10.0" }

[[commit]]
message = "Documented it."
paths = ["docs/new.txt"]
"""
PATCH = """\
--- a/django/db/base.py
+++ b/django/db/base.py
@@ -1,1 +1,2 @@
 # Ours? No.
+# Ours.
"""
ADDED = {
    "../../bin/django-admin": "#!python\n",
    "django/__pycache__/__init__.cpython-312.pyc": "compiled",
    "django-9.9.1.dist-info/INSTALLER": "pip\n",
    "django-9.9.1.dist-info/REQUESTED": "",
    "django-9.9.1.dist-info/direct_url.json": "{}",
}


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Return a function that installs a release, once, and says where."""
    directories = {}

    def directory(version):
        if version not in directories:
            directories[version] = install(tmp_path_factory.mktemp("django"), version)
        return directories[version]

    return directory


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The directory in which a small Django, pinned nowhere, is installed."""
    directory = tmp_path / "lib/site-packages"
    directory.mkdir(parents=True)
    put(directory, RELEASED | ADDED)
    monkeypatch.syspath_prepend(directory)
    return directory


def put(directory, files, version=VERSION):
    record = directory / f"django-{version}.dist-info/RECORD"
    rows = [[f"django-{version}.dist-info/RECORD", "", ""]]
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(text.encode())
        digest = hashlib.sha256(text.encode()).digest()
        hashed = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        rows.append([path, f"sha256={hashed}", len(text.encode())])
    with open(record, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def contents(archive):
    return {name: archive.read(name) for name in archive.namelist()}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("version", RELEASES)
def test_the_pinned_digest_is_of_the_released_wheel(version):
    with zipfile.ZipFile(released_wheel(version)) as archive:
        files = {
            name: File(content)
            for name, content in contents(archive).items()
            if name != f"django-{version}.dist-info/RECORD"
        }
    assert wheel.digest(files) == RELEASES[version].wheel_digest


@pytest.mark.parametrize("version", RELEASES)
def test_only_the_files_of_the_fork_differ(version, installed, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(installed(version))
    files = wheel.forked(wheel.released(version), version)
    name = wheel.write(tmp_path, files, version)
    assert name == f"django-{version}+{LOCAL}-py3-none-any.whl"
    assert os.listdir(tmp_path) == [name]
    with (
        zipfile.ZipFile(released_wheel(version)) as theirs,
        zipfile.ZipFile(tmp_path / name) as ours,
    ):
        before, after = contents(theirs), contents(ours)
        assert len(after) == len(ours.infolist())
        assert {
            (info.compress_type, info.create_system) for info in ours.infolist()
        } == {(zipfile.ZIP_DEFLATED, 3)}
        modes = {info.filename: info.external_attr >> 16 for info in ours.infolist()}
        executable = {
            info.filename
            for info in theirs.infolist()
            if info.external_attr >> 16 & stat.S_IXUSR
        }
    assert {path for path, mode in modes.items() if mode == 0o100755} == executable
    assert set(modes.values()) == {0o100644, 0o100755}

    before = {
        path.replace(f"{version}.dist-info/", f"{version}+{LOCAL}.dist-info/"): content
        for path, content in before.items()
    }
    dist_info = f"django-{version}+{LOCAL}.dist-info"
    changes = manifest.within("django/", manifest.changes(version))
    changed = {path for change in changes for path in change.paths}
    assert changed
    differing = {
        path
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    }
    assert differing == changed | {
        f"{dist_info}/{name}" for name in ("METADATA", "RECORD", "WHEEL")
    }
    for path in changed & before.keys():
        patched = before[path].decode()
        for change in changes:
            if path in change.paths:
                patch = ROOT / f"{change.paths[path]}.patch"
                patched = patches.apply(patch.read_text("utf-8"), patched, version)
        assert after[path].decode() == patched
    for path in changed - before.keys():
        assert after[path] == (ROOT / path).read_bytes()
    assert differing_lines(before, after, f"{dist_info}/METADATA") == [
        [f"Version: {version}"],
        [f"Version: {version}+{LOCAL}"],
    ]
    (theirs,), ours = differing_lines(before, after, f"{dist_info}/WHEEL")
    assert theirs.startswith("Generator: setuptools")
    assert ours == ["Generator: overlay"]


def differing_lines(before, after, path):
    lines = list(
        difflib.ndiff(*(files[path].decode().split("\n") for files in (before, after)))
    )
    return [
        [line[2:] for line in lines if line.startswith(sign)] for sign in ("- ", "+ ")
    ]


def test_record_is_right(small, tmp_path):
    name = build(tmp_path)
    with WheelFile.open(tmp_path / name) as source:
        source.validate_record(validate_contents=True)
    with zipfile.ZipFile(tmp_path / name) as archive:
        names = archive.namelist()
        record = archive.read(f"django-9.9.1+{LOCAL}.dist-info/RECORD").decode()
        assert all(
            int(size) == len(archive.read(path))
            for path, hashed, size in csv.reader(record.splitlines()[:-1])
        )
    assert [path for path, _, _ in csv.reader(record.splitlines())] == names
    assert record.endswith(f"\ndjango-9.9.1+{LOCAL}.dist-info/RECORD,,\n")


def build(directory):
    files = wheel.released(VERSION)
    package = {path: file for path, file in files.items() if path.startswith("django/")}
    return wheel.write(directory, package | wheel.metadata(files, VERSION), VERSION)


def test_the_wheel_holds_what_was_released_and_the_metadata_last(small, tmp_path):
    with zipfile.ZipFile(tmp_path / build(tmp_path)) as archive:
        assert archive.namelist() == [
            "django/__init__.py",
            "django/db/base.py",
            f"django-9.9.1+{LOCAL}.dist-info/METADATA",
            f"django-9.9.1+{LOCAL}.dist-info/WHEEL",
            f"django-9.9.1+{LOCAL}.dist-info/licenses/AUTHORS",
            f"django-9.9.1+{LOCAL}.dist-info/RECORD",
        ]
        metadata = archive.read(f"django-9.9.1+{LOCAL}.dist-info/METADATA").decode()
    assert metadata == RELEASED["django-9.9.1.dist-info/METADATA"].replace(
        "Version: 9.9.1\n", f"Version: 9.9.1+{LOCAL}\n", 1
    )


def test_the_same_input_gives_the_same_bytes(small, tmp_path, monkeypatch):
    first = sha256(tmp_path / build(tmp_path))
    umask = os.umask(0o077)
    try:
        os.chmod(small / "django/db/base.py", 0o600)
        os.utime(small / "django/db/base.py", (1, 1))
        with monkeypatch.context() as context:
            context.setenv("TZ", "Asia/Tokyo")
            context.setattr(zipfile, "sys", types.SimpleNamespace(platform="win32"))
            time.tzset()
            assert sha256(tmp_path / build(tmp_path)) == first
    finally:
        os.umask(umask)
        time.tzset()
    # What ZIP can't say is the earliest that it can, as without the variable.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert sha256(tmp_path / build(tmp_path)) == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert sha256(tmp_path / build(tmp_path)) != first
    with zipfile.ZipFile(tmp_path / build(tmp_path)) as archive:
        dates = {info.date_time for info in archive.infolist()}
    assert dates == {(2023, 11, 14, 22, 13, 20)}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "9" * 20)
    with zipfile.ZipFile(tmp_path / build(tmp_path)) as archive:
        assert archive.infolist()[0].date_time == (2107, 12, 31, 23, 59, 58)


@pytest.mark.parametrize("epoch", ["", "now", "-1", "1.5", "٣"])
def test_a_source_date_epoch_that_is_no_number(epoch, small, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    (tmp_path / "out").mkdir()
    with pytest.raises(OverlayError, match="SOURCE_DATE_EPOCH is '.*': set it to"):
        build(tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_a_release_without_a_pin_is_said_to_have_none(small, tmp_path, capsys):
    build(tmp_path)
    assert "Django 9.9.1 is not pinned here" in capsys.readouterr().err


def test_a_pinned_release_with_other_files(small, monkeypatch, capsys):
    release = RELEASES["6.1.3"]
    monkeypatch.setitem(RELEASES, VERSION, release)
    with pytest.raises(OverlayError, match="Django 9.9.1 has other files than the rel"):
        wheel.released(VERSION)
    files = {
        path: File(text.encode(), path == "django/__init__.py")
        for path, text in RELEASED.items()
    }
    monkeypatch.setitem(
        RELEASES, VERSION, release._replace(wheel_digest=wheel.digest(files))
    )
    (small / "django/__init__.py").chmod(0o755)
    assert wheel.released(VERSION) == files
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "path", ["django/db/base.py", "django-9.9.1.dist-info/licenses/AUTHORS"]
)
def test_a_file_that_is_not_as_it_was_released(path, small):
    with open(small / path, "a") as file:
        file.write("# Edited.\n")
    with pytest.raises(OverlayError, match=f"{path} of the installed .* is not as it"):
        wheel.released(VERSION)
    (small / path).unlink()
    with pytest.raises(OverlayError, match=f"installed Django 9.9.1 has no {path}: "):
        wheel.released(VERSION)


def test_a_django_without_a_record(small):
    (small / "django-9.9.1.dist-info/RECORD").unlink()
    with pytest.raises(OverlayError, match="Django 9.9.1 has no record of its files"):
        wheel.released(VERSION)


@pytest.mark.parametrize("version", ["9.9.2", "9.9.1+fork.2"])
def test_another_version_than_the_installed_one(version, small, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: Django\nVersion: {version}\n"
    put(other, {f"django-{version}.dist-info/METADATA": metadata}, version)
    monkeypatch.syspath_prepend(other)
    with pytest.raises(
        OverlayError, match=rf"Django {re.escape(version)} is installed"
    ):
        wheel.released(VERSION)


def test_a_wheel_that_can_not_be_written(small, tmp_path, monkeypatch):
    with pytest.raises(OverlayError, match="missing/django-.* can't be written"):
        build(tmp_path / "missing")
    (tmp_path / "out").mkdir()
    name = build(tmp_path / "out")
    before = sha256(tmp_path / "out" / name)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OverlayError, match="No space left on device"):
        build(tmp_path / "out")
    assert os.listdir(tmp_path / "out") == [name]
    assert sha256(tmp_path / "out" / name) == before


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Where the checkout that an editable wheel installs is, or will be."""
    directory = tmp_path / "build/django-9.9.1"
    monkeypatch.setattr(checkout, "default_directory", lambda version: directory)

    def make(directory, version):
        put_checkout(directory, version)

    monkeypatch.setattr(checkout, "checkout", make)
    return directory


def put_checkout(directory, version):
    directory.mkdir(parents=True)
    (directory / "PKG-INFO").write_text(f"Name: Django\nVersion: {version}\n")


def test_an_editable_wheel_is_a_path_and_the_metadata(small, tree, tmp_path):
    files = wheel.editable(wheel.released(VERSION), VERSION)
    assert (tree / "PKG-INFO").exists()
    path = f"__editable__.django-9.9.1+{LOCAL}.pth"
    assert files.pop(path).content.decode() == f"{tree}\n"
    assert files == wheel.metadata(wheel.released(VERSION), VERSION)


def test_an_editable_wheel_overwrites_nothing(small, tree, capsys, monkeypatch):
    put_checkout(tree, VERSION)
    (tree / "edited.py").write_text("mine")
    monkeypatch.setattr(checkout, "checkout", None)
    files = wheel.editable(wheel.released(VERSION), VERSION)
    assert f"{tree} is installed as it is there." in capsys.readouterr().err
    assert f"{tree}\n".encode() in {file.content for file in files.values()}
    assert (tree / "edited.py").read_text() == "mine"
    assert sorted(os.listdir(tree)) == ["PKG-INFO", "edited.py"]


@pytest.mark.parametrize("version", ["9.9.2", None])
def test_an_editable_wheel_of_something_else(version, small, tree, monkeypatch):
    if version:
        put_checkout(tree, version)
    else:
        tree.mkdir(parents=True)
        (tree / "mine").touch()
    before = os.listdir(tree)
    monkeypatch.setattr(checkout, "checkout", None)
    with pytest.raises(OverlayError, match="is not a checkout of Django 9.9.1: move"):
        wheel.editable(wheel.released(VERSION), VERSION)
    assert os.listdir(tree) == before


def test_an_editable_wheel_in_a_directory_that_no_pth_file_can_name(
    small, tree, monkeypatch
):
    put_checkout(tree.with_name("日本"), VERSION)
    monkeypatch.setattr(
        checkout, "default_directory", lambda version: tree.with_name("日本")
    )
    monkeypatch.setattr(wheel.locale, "getencoding", lambda: "ascii")
    monkeypatch.setattr(wheel.sys, "version_info", (3, 12, 1))
    with pytest.raises(OverlayError, match="日本 from a .pth file in this locale"):
        wheel.editable(wheel.released(VERSION), VERSION)
    monkeypatch.setattr(wheel.sys, "version_info", (3, 13, 0))
    path = f"__editable__.django-9.9.1+{LOCAL}.pth"
    files = wheel.editable(wheel.released(VERSION), VERSION)
    assert files[path].content.decode().endswith("日本\n")


def test_a_file_of_ours_ships_and_tests_and_docs_do_not(tmp_path, monkeypatch):
    root = write(
        tmp_path,
        {
            "overlay/manifest.toml": MANIFEST,
            "django/db/base.py.patch": PATCH,
            "django/db/new.py": "NEW = True\n",
            "django/db/later.py": "",
            "tests/db/test_new.py": "",
            "docs/new.txt": "",
        },
    )
    changes = functools.partial(manifest.changes, root=root)
    applied = functools.partial(manifest.applied, root=root)
    monkeypatch.setattr(manifest, "changes", changes)
    monkeypatch.setattr(manifest, "applied", applied)
    files = {
        path: File(text.encode(), path == "django/db/base.py")
        for path, text in RELEASED.items()
    }
    forked = wheel.forked(files, VERSION)
    assert {path for path in forked if ".dist-info/" not in path} == {
        "django/__init__.py",
        "django/db/base.py",
        "django/db/new.py",
    }
    assert forked["django/__init__.py"] == files["django/__init__.py"]
    assert forked["django/db/base.py"] == File(b"# Ours? No.\n# Ours.\n", True)
    assert forked["django/db/new.py"] == File(b"NEW = True\n")
