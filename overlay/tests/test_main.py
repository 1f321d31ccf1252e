import subprocess
import sys

import pytest

from overlay import ROOT, __main__, checkout, console, environment, export
from overlay import pull_request as pull_request_module
from overlay import releases
from overlay.errors import OverlayError


@pytest.fixture(autouse=True)
def bootstrap(monkeypatch):
    monkeypatch.setattr(environment, "bootstrap", lambda name, requirements: None)


def test_checkout(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(
        checkout, "checkout", lambda *arguments: calls.append(arguments) or arguments[0]
    )
    assert __main__.main(["checkout"]) == 0
    assert __main__.main(["checkout", "--django", "5.2.19", "some/where"]) == 0
    default = releases.default()
    assert [(str(path), version) for path, version in calls] == [
        (str(ROOT / f"build/django-{default}"), default),
        ("some/where", "5.2.19"),
    ]
    assert capsys.readouterr().out == f"{calls[0][0]}\nsome/where\n"


def test_export(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        export, "export", lambda directory: [tmp_path, tmp_path / directory]
    )
    assert __main__.main(["export", "gone"]) == 0
    assert capsys.readouterr().err == f"Wrote {tmp_path}\nDeleted {tmp_path}/gone\n"


def test_pull_request_prints_nothing_but_its_text(monkeypatch, capsys):
    monkeypatch.setattr(
        pull_request_module,
        "pull_request",
        lambda clone, follow_ups: f"{clone} {follow_ups}\n",
    )
    assert __main__.main(["pull-request", "clone"]) == 0
    assert capsys.readouterr().out == "clone False\n"
    assert __main__.main(["pull-request", "--all", "clone"]) == 0
    assert capsys.readouterr().out == "clone True\n"


@pytest.mark.parametrize(
    "error, status, line",
    [
        (OverlayError("It is\nbroken."), 1, "overlay: error: It is broken.\n"),
        (OSError(28, "No space", "file"), 1, "overlay: error: file: No space.\n"),
        (KeyboardInterrupt(), 130, "overlay: interrupted\n"),
    ],
)
def test_failures_are_one_line(error, status, line, capsys):
    def command():
        raise error

    assert console.run("overlay", command) == status
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("version", ["6.1.3+fork.2", "x"])
def test_what_is_not_a_version_is_one_line(version, capsys):
    assert __main__.main(["checkout", "--django", version]) == 1
    assert capsys.readouterr().err == (
        f"overlay: error: {version!r} is not a version of Django: name a release such "
        "as 6.1.3.\n"
    )


@pytest.mark.parametrize(
    "arguments, status",
    [
        (["--help"], 0),
        (["checkout", "--help"], 0),
        (["export", "--help"], 0),
        (["pull-request", "--help"], 0),
        ([], 2),
        (["other"], 2),
        (["pull-request"], 2),
        (["checkout", "--other"], 2),
    ],
)
def test_usage_needs_nothing_but_the_standard_library(arguments, status):
    process = subprocess.run(
        [sys.executable, "-S", "-m", "overlay", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == status
    assert "usage: overlay" in process.stdout + process.stderr
