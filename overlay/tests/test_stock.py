"""What counts as a test that fails on stock Django."""

from pathlib import PurePosixPath

import pytest

from overlay import manifest, stock
from overlay.errors import OverlayError

PASSES, FAILS, ERRS = (f"app.test_fork.Tests.test_{name}" for name in "abc")
OUTPUT = f"""\
test_a ({PASSES}) ... ok
test_b ({FAILS}) ... a child's words
FAIL
test_c ({ERRS}) ... ERROR

======================================================================
FAIL: test_b ({FAILS}) (signal=1)
----------------------------------------------------------------------
======================================================================
ERROR: test_c ({ERRS})
----------------------------------------------------------------------
Ran 3 tests in 0.1s
"""


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
    assert stock.passed(OUTPUT) == {PASSES}


def test_known_test_that_passes():
    stock.check(OUTPUT, {PASSES: "reason"})


def test_unknown_test_that_passes():
    with pytest.raises(OverlayError, match=f"{PASSES}: passes on stock"):
        stock.check(OUTPUT, {})


def test_known_test_that_fails():
    with pytest.raises(OverlayError, match=f"{FAILS}: fails on stock"):
        stock.check(OUTPUT, {PASSES: "reason", FAILS: "reason"})


def test_skipped_test():
    with pytest.raises(OverlayError, match=f"{FAILS}: skipped"):
        stock.check(OUTPUT.replace("a child's words", "skipped 'no server'"), {})


@pytest.mark.parametrize("old, new", [("Ran 3", "Ran 4"), ("Ran 3 tests", "Killed")])
def test_tests_that_did_not_run(old, new):
    with pytest.raises(OverlayError, match="names 3 tests"):
        stock.check(OUTPUT.replace(old, new), {PASSES: "reason"})
