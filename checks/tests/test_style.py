"""What counts as a finding of Django's own checks, and how they are run."""

import sys

import pytest

from checks import style
from checks.style import Report
from overlay.errors import OverlayError

MISSING = "ref/databases.txt:0: WARNING: py:{} reference target not found: {} [ref]"


def report(*lines, status=0):
    return Report([*lines], status)


@pytest.mark.parametrize(
    "fork, stock, found",
    [
        (report(), None, []),
        (report("a"), report("a"), []),
        (report("a"), report("a", "b"), []),
        (report("a", status=1), report("a", status=1), []),
        (report("a", "b"), report("a"), ["b"]),
        (report("a.txt:12: b", "a.txt:13: c"), report("a.txt:1: b"), ["a.txt:13: c"]),
        (report("a", "a"), report("a"), ["a"]),
        (report(status=1), report(), ["the status is 1 instead of 0"]),
        (report("a"), report("a", status=1), ["the status is 0 instead of 1"]),
        (report(status=2), report(), ["the status is 2 instead of 0"]),
        (report(MISSING.format("mod", "multiprocessing")), report(), []),
        (report(MISSING.format("func", "os.register_at_fork")), report(), []),
        *(
            (report(line), report(), [line])
            for line in [
                MISSING.format("func", "os.registered_at_fork"),
                MISSING.format("mod", "multiprocesing"),
                "WARNING: undefined label: 'os.fork'",
            ]
        ),
    ],
)
def test_new(fork, stock, found):
    assert style.new(fork, lambda: stock) == found


def test_what_can_not_be_run_is_no_agreement():
    broken = report("ImportError: the enchant C library", status=2)
    with pytest.raises(OverlayError, match="ends with 2 on stock .* libenchant-2-2"):
        style.new(broken, lambda: broken)


def test_report(tmp_path, monkeypatch):
    """It is run in its directory, by this Python's programs before others."""
    (tmp_path / "docs").mkdir()
    code = "import os, sys; print(os.getcwd() + '/a.txt:12', sys.prefix); sys.exit(3)"
    monkeypatch.setattr(style, "CHECKS", {"a": ("docs", ["python", "-c", code])})
    assert style.report("a", tmp_path) == report(
        f"docs/a.txt:12 {sys.prefix}", status=3
    )


@pytest.mark.parametrize(
    "command, said",
    [
        (["no-such-program"], "a needs no-such-program: on Debian and Ubuntu, apt"),
        (["sleep", "60"], "a did not end in 0.1 s"),
    ],
)
def test_not_run(tmp_path, monkeypatch, command, said):
    monkeypatch.setattr(style, "CHECKS", {"a": (".", command)})
    monkeypatch.setattr(style, "DEADLINE", 0.1)
    with pytest.raises(OverlayError, match=said):
        style.report("a", tmp_path)


def test_unknown_check(capsys):
    assert style.main(["black", "pylint"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("style: error: pylint is no check: name some of black, ")


def test_notes_that_are_in_no_release_are_checked(tmp_path):
    (tmp_path / "6.1.txt").write_text("Theirs.\n")
    style.write_notes(tmp_path)
    notes = (tmp_path / "6.2.txt").read_text()
    assert notes.startswith(style.TITLE)
    # Those of two commits, and not the lines that place them.
    assert "``DatabaseWrapper._discard()``" in notes and "<postgresql-pool>" in notes
    assert "This section describes" not in notes and ".. _deprecated" not in notes
    assert {file.name for file in tmp_path.iterdir()} == {"6.1.txt", "6.2.txt"}
