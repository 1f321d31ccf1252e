"""What counts as a test that fails on stock Django."""

import re
from pathlib import PurePosixPath

import pytest

from checks import stock
from checks.comparison import MISSING, PASSED, Outcome
from overlay import ROOT, environment, manifest
from overlay.console import run
from overlay.errors import OverlayError
from overlay.tests.conftest import write

PASSES, FAILS, ERRS = (f"app.test_fork.Tests.test_{name}" for name in "abc")
OUTCOMES = {PASSES: PASSED, FAILS: Outcome("failed"), ERRS: Outcome("error")}


def test_all_tests_are_run():
    modules = {
        ".".join(PurePosixPath(path).with_suffix("").parts[1:])
        for change in manifest.changes()
        for path in change.paths
        if path.startswith("tests/") and PurePosixPath(path).match("test*.py")
    }
    labels = sum(stock.LABELS.values(), [])
    # Of a file of Django's, only the tests that are ours.
    assert modules == {
        label if label in modules else label.rsplit(".", 2)[0] for label in labels
    }


def test_what_passed():
    assert stock.passed(OUTCOMES) == {PASSES}


def test_known_test_that_passes():
    stock.check(OUTCOMES, {PASSES: "reason"})


def test_unknown_test_that_passes():
    with pytest.raises(OverlayError, match=f"{PASSES}: passes on stock"):
        stock.check(OUTCOMES, {})


def test_known_test_that_fails():
    with pytest.raises(OverlayError, match=f"{FAILS}: fails on stock"):
        stock.check(OUTCOMES, {PASSES: "reason", FAILS: "reason"})


@pytest.mark.parametrize("outcome", [Outcome("skipped", "no server"), MISSING])
def test_test_that_shows_nothing(outcome):
    with pytest.raises(OverlayError, match=f"{FAILS}: {outcome}, so that it shows"):
        stock.check(OUTCOMES | {FAILS: outcome}, {PASSES: "reason"})


def test_no_tests():
    with pytest.raises(OverlayError, match="No test ran"):
        stock.check({}, {})


@pytest.mark.parametrize(
    "code, said",
    [
        ("print('one'); sys.exit('mariadbd is missing')", "(mariadbd is missing): see"),
        ("time.sleep(60)", "did not end in 1 s"),
    ],
)
def test_run_that_does_not_end_well(tmp_path, monkeypatch, capsys, code, said):
    script = f"import sys, time\n{code}\n"
    write(tmp_path, {"checks/stock.toml": "[passes]\n", "tests/runtests.py": script})
    monkeypatch.setattr(environment, "bootstrap", lambda *arguments: None)
    monkeypatch.setattr(stock, "ROOT", tmp_path)
    monkeypatch.setattr(stock, "BUILD", tmp_path)
    monkeypatch.setattr(stock, "TIMEOUT", 1)
    assert run("stock", stock._check_stock, []) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("stock: error: ") and said in line


def test_design_names_tests_that_there_are():
    text = (ROOT / "docs" / "design.md").read_text()
    sources = [path.read_text() for path in (ROOT / "tests").rglob("*.py*")]
    names = set(re.findall(r"`(test_\w+)`", text))
    assert names
    for name in names:
        assert any(f"def {name}(" in source for source in sources), name
