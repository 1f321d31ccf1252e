import subprocess

import pytest

from overlay import environment, releases, sources, status
from overlay.__main__ import main
from overlay.errors import OverlayError
from overlay.tests.conftest import edit

FINE = "pinned, as released, and every hunk applies."


@pytest.fixture
def index(django, monkeypatch):
    """The small Django's releases in a package index, all of them pinned."""

    def digest(version):
        release = releases.RELEASES.get(version)
        return release.wheel_digest if release else "0123"

    monkeypatch.setattr(status, "_available", lambda: ["5.1", "6.1.3", "6.1"])
    monkeypatch.setattr(status, "wheel_digest", digest)


def test_everything_is_right(root, index):
    assert list(status.status(root)) == [
        (f"{version}: {FINE}", True) for version in releases.RELEASES
    ]


@pytest.mark.parametrize("kept", [True, False])
def test_release_that_is_not_pinned(root, index, monkeypatch, kept):
    monkeypatch.delitem(releases.RELEASES, "6.1.3")
    monkeypatch.setattr(releases, "of_series", lambda version: kept)
    *_, (sentence, right) = status.status(root)
    sha256 = sources.sha256(sources.sdist("6.1.3"))
    assert right and sentence == "6.1.3: every hunk applies. It is not pinned: " + (
        "run 'overlay pin 6.1.3'."
        if kept
        else f'add it to overlay/releases.py, with sdist_sha256="{sha256}" and '
        'wheel_digest="0123".'
    )


def test_hunk_that_does_not_apply(root, index):
    edit(root / "django/db/base.py.patch", "self.alias", "self.name")
    found = list(status.status(root))
    assert [right for _, right in found] == [False, False, False]
    assert found[0][0].startswith("5.2.19: django/db/base.py.patch")


def test_wheel_with_other_files(root, index, monkeypatch):
    monkeypatch.setattr(status, "wheel_digest", lambda version: "0123")
    assert next(status.status(root)) == (
        "5.2.19: its wheel has other files than the pinned one.",
        False,
    )


@pytest.mark.parametrize(
    "versions, wanted",
    [
        ([], ["5.2.19", "6.0.10", "6.1.3"]),
        (["6.1.10", "6.1.9"], ["5.2.19", "6.0.10", "6.1.3", "6.1.10"]),
        (["6.2", "6.2a1", "7.0rc1", "4.2.30"], ["5.2.19", "6.0.10", "6.1.3", "6.2"]),
    ],
)
def test_newest(versions, wanted):
    assert status._newest({*releases.RELEASES, *versions}) == wanted


def test_versions_in_the_index(monkeypatch):
    output = "Django (6.1.3)\nAvailable versions: 6.1.3, 6.1\n  INSTALLED: 6.1.3\n"
    done = subprocess.CompletedProcess([], 0, output)
    monkeypatch.setattr(environment, "pip", lambda *arguments: done)
    assert status._available() == ["6.1.3", "6.1"]
    done.returncode, done.stdout = 1, "ERROR: No network.\n"
    with pytest.raises(OverlayError, match="pip index fails: ERROR: No network."):
        status._available()


def test_status_of_the_command(monkeypatch, capsys):
    monkeypatch.setattr(environment, "bootstrap", lambda *arguments: None)
    for rights, code in (([True, True], 0), ([True, False], 1)):
        found = [("one", right) for right in rights]
        monkeypatch.setattr(status, "status", lambda found=found: iter(found))
        assert main(["status"]) == code
    assert capsys.readouterr().out == "one\n" * 4


def test_digest_of_a_wheel():
    """That of the released wheel is the pinned one."""
    newest = releases.newest()
    assert status.wheel_digest(newest) == releases.RELEASES[newest].wheel_digest
