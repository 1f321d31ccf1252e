import hashlib
import os
import sys

import pytest

from overlay import environment, releases, sources
from overlay.errors import OverlayError
from overlay.tests.conftest import pack, write

BACKEND = """\
import os

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    open(os.environ["RAN"], "w").close()
    info = "django-9.8.7.dist-info"
    os.mkdir(f"{directory}/{info}")
    with open(f"{directory}/{info}/METADATA", "w") as file:
        file.write("Metadata-Version: 2.1\\nName: Django\\nVersion: 9.8.7\\n")
        file.write("Requires-Python: >=4\\n")
    return info
"""

FILES = {
    "PKG-INFO": (
        "Metadata-Version: 2.1\nName: Django\nVersion: 9.8.7\nRequires-Python: >=4\n"
    ),
    "pyproject.toml": (
        '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
        'backend-path = ["."]\n'
    ),
    "backend.py": BACKEND,
    "django/__init__.py": "",
    "tests/runtests.py": "#!python\n",
}


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """A directory that is all that pip knows, with one release of a Django."""
    directory = tmp_path / "index"
    directory.mkdir()
    pack(directory / "django-9.8.7.tar.gz", "django-9.8.7", FILES)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "missing.txt"))
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    return directory


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "build/cache"


def pin(monkeypatch, sha256):
    release = releases.Release("9.8.7", (3, 12), sha256, "")
    monkeypatch.setitem(releases.RELEASES, "9.8.7", release)


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_pinned_release_is_downloaded_once(index, cache, monkeypatch, capsys):
    archive = index / "django-9.8.7.tar.gz"
    pin(monkeypatch, sha256(archive))
    assert sources.sdist("9.8.7", cache) == cache / "django-9.8.7.tar.gz"
    assert sha256(cache / "django-9.8.7.tar.gz") == sha256(archive)
    assert os.listdir(cache) == ["django-9.8.7.tar.gz"]
    assert capsys.readouterr().err == "Downloading the sources of Django 9.8.7 ...\n"
    archive.unlink()
    monkeypatch.setattr(environment, "pip", None)
    assert sources.sdist("9.8.7", cache) == cache / "django-9.8.7.tar.gz"
    assert capsys.readouterr().err == ""


def test_damaged_file_in_the_cache_is_downloaded_anew(
    index, cache, monkeypatch, capsys
):
    pin(monkeypatch, sha256(index / "django-9.8.7.tar.gz"))
    write(cache, {"django-9.8.7.tar.gz": "damaged"})
    assert sources.cached("9.8.7", cache) is None
    sources.sdist("9.8.7", cache)
    assert sources.cached("9.8.7", cache) == cache / "django-9.8.7.tar.gz"
    assert "damaged" in capsys.readouterr().err


def test_release_without_pin_is_said_to_be_unchecked(cache, capsys):
    assert sources.sdist("9.8.7", cache).is_file()
    assert "Django 9.8.7 is not pinned here" in capsys.readouterr().err
    assert sources.sdist("9.8.7", cache).is_file()
    assert "Django 9.8.7 is not pinned here" in capsys.readouterr().err


def test_other_sources_than_the_pinned_are_refused_and_not_run(
    cache, tmp_path, monkeypatch
):
    pin(monkeypatch, "0" * 64)
    with pytest.raises(OverlayError, match="is not the released one"):
        sources.sdist("9.8.7", cache)
    assert os.listdir(cache) == []
    assert not (tmp_path / "ran").exists()


def test_unknown_version_is_said_to_be_unknown(cache):
    with pytest.raises(OverlayError, match="There is no Django 9.8.8: name .* 6.1.3"):
        sources.sdist("9.8.8", cache)
    assert os.listdir(cache) == []


def test_no_network_is_said_to_be_missing(index, cache, monkeypatch):
    (index / "django-9.8.7.tar.gz").unlink()
    with pytest.raises(OverlayError, match="again with a network"):
        sources.sdist("9.8.7", cache)
    # A closed port, as a package index that can't be reached.
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(OverlayError, match="again with a network"):
        sources.sdist("9.8.7", cache)
    assert os.listdir(cache) == []


@pytest.mark.parametrize(
    "version", ["", "6", "six", "6.1.3+fork.2", "6.1.3; x", "../6.1", "6.1.3\n", "٦.١"]
)
def test_what_is_not_a_version_is_refused(cache, version):
    with pytest.raises(OverlayError, match="is not a version of Django"):
        sources.sdist(version, cache)


def test_cache_that_can_not_be_written_is_one_line(tmp_path):
    write(tmp_path, {"build": "a file"})
    with pytest.raises(OverlayError, match="can't be written .* make it writable"):
        sources.sdist("9.8.7", tmp_path / "build/cache")


def test_python_without_pip_gets_an_environment(cache, monkeypatch):
    real, asked = sys.executable, []

    def pip(executable, *arguments, pip=environment.pip):
        if executable == "without pip":
            return pip(real, "no-such-command")
        return pip(executable, *arguments)

    def python(name, requirements):
        asked.append(requirements)
        return real

    monkeypatch.setattr(sys, "executable", "without pip")
    monkeypatch.setattr(environment, "pip", pip)
    monkeypatch.setattr(environment, "python", python)
    assert sources.sdist("9.8.7", cache).is_file()
    assert asked == [[]]


def test_files_are_those_of_django_with_their_modes(index):
    files = sources.files(index / "django-9.8.7.tar.gz")
    assert set(files) == set(FILES)
    assert files["backend.py"] == (BACKEND.encode(), False, 1_700_000_000)
    assert files["tests/runtests.py"].executable


@pytest.mark.parametrize("damage", ["truncated", "rubbish", "changed"])
def test_damaged_archive_is_one_line(index, damage):
    archive = index / "django-9.8.7.tar.gz"
    content = archive.read_bytes()
    archive.write_bytes(
        {
            "truncated": content[: len(content) // 2],
            "rubbish": b"rubbish",
            "changed": content[:100] + b"\xff" * 50 + content[150:],
        }[damage]
    )
    with pytest.raises(OverlayError, match="is damaged .* remove it"):
        sources.files(archive)
