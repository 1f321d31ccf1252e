"""What counts as a difference between Django's tests on stock and the fork."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import psutil
import pytest

from checks import comparison, processes, settings, suite, trees
from checks.comparison import MISSING, PASSED, Difference, Outcome
from overlay import checkout, environment
from overlay.releases import usable

SKIPPED = Outcome("skipped", "no server")
FAILED = Outcome("failed", "AssertionError: 1 != 2")
ERROR = Outcome("error", "ValueError: no")
LOST = Outcome("error", "OperationalError: consuming input failed: SSL error: bad")
EXPECTED = Outcome("expected failure", "AssertionError: 1 != 2")
UNEXPECTED = Outcome("unexpected success")

SQLITE = ["--database", "sqlite"]

# One test, or fixture, for each thing that can happen.
SAMPLE = """
import unittest


class Tests(unittest.TestCase):
    # What follows a skipped test is counted wrongly on Python 3.12.1.
    @unittest.skip("first")
    def test_a_skipped(self):
        pass

    def test_b_passed(self):
        pass

    def test_c_failed(self):
        self.fail("no\\nmore")

    def test_d_error(self):
        raise ValueError

    def test_e_subtests(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertEqual(number, 1)

    def test_f_skipped_subtest(self):
        with self.subTest():
            self.skipTest("sub")

    @unittest.expectedFailure
    def test_g_expected(self):
        self.fail()

    @unittest.expectedFailure
    def test_h_unexpected(self):
        pass

    def test_i_cleanup(self):
        self.addCleanup(self.fail, "cleanup")


class Class(unittest.TestCase):
    def test_1(self):
        pass

    def test_2(self):
        pass


class SetUpError(Class):
    @classmethod
    def setUpClass(cls):
        raise ValueError("set up")


class SetUpSkipped(Class):
    @classmethod
    def setUpClass(cls):
        raise unittest.SkipTest("set up")


class TearDownError(Class):
    @classmethod
    def tearDownClass(cls):
        raise ValueError("tear down")


@unittest.skip("whole")
class Skipped(Class):
    pass
"""

SAMPLE_OUTCOMES = {
    "Tests.test_a_skipped": "skipped: first",
    "Tests.test_b_passed": "passed",
    "Tests.test_c_failed": "failed: AssertionError: no",
    "Tests.test_d_error": "error: ValueError:",
    "Tests.test_e_subtests": "failed: AssertionError: 0 != 1",
    "Tests.test_f_skipped_subtest": "skipped: sub",
    "Tests.test_g_expected": "expected failure: AssertionError: None",
    "Tests.test_h_unexpected": "unexpected success",
    "Tests.test_i_cleanup": "failed: AssertionError: cleanup",
    "Class.test_1": "passed",
    "Class.test_2": "passed",
    "SetUpError.test_1": "error: ValueError: set up",
    "SetUpError.test_2": "error: ValueError: set up",
    "SetUpSkipped.test_1": "skipped: set up",
    "SetUpSkipped.test_2": "skipped: set up",
    "TearDownError.test_1": "error: ValueError: tear down",
    "TearDownError.test_2": "error: ValueError: tear down",
    "Skipped.test_1": "skipped: whole",
    "Skipped.test_2": "skipped: whole",
}

RUN = """
import sys
import django
django.setup()
from outcomes import Runner
Runner(parallel=int(sys.argv[1]), verbosity=0).run_tests(["sample"])
"""


def lines(*entries):
    return [f"{json.dumps(entry)}\n" for entry in entries]


def line(test, outcome):
    return {"test": test, "outcome": outcome.name, "reason": outcome.reason}


@pytest.mark.parametrize("parallel", [1, 2])
def test_runner(tmp_path, parallel):
    """Every outcome is that of its own test, in parallel as well."""
    (tmp_path / "sample.py").write_text(SAMPLE)
    # A module, since workers may not be forked from the process that has them.
    (tmp_path / "no_settings.py").touch()
    shutil.copy(settings.RUNNER, tmp_path)
    file = tmp_path / "outcomes.jsonl"
    with trees.tree(usable()) as tree:
        process = subprocess.run(
            [sys.executable, "-c", RUN, str(parallel)],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(tree), str(tmp_path)]),
                "DJANGO_SETTINGS_MODULE": "no_settings",
                "OVERLAY_OUTCOMES": str(file),
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert process.returncode == 0, process.stderr
    with open(file) as entries:
        outcomes = comparison.read(entries)
    assert {test: str(outcome).strip() for test, outcome in outcomes.items()} == {
        f"sample.{test}": outcome for test, outcome in SAMPLE_OUTCOMES.items()
    }


def test_read():
    outcomes = comparison.read(
        lines(
            {"tests": ["app.A.test_1", "app.A.test_2", "app.AB.test", "app.C.test"]},
            line("app.A.test_1", PASSED),
            line("app.A.test_1", ERROR),
            line("app.A.test_1", FAILED),
            line("app.A.test_2", PASSED),
            line("tearDownClass (app.A)", FAILED),
            line("app.AB.test", PASSED),
            {"failures": 3},
        )
    )
    assert outcomes == {
        "app.A.test_1": ERROR,
        "app.A.test_2": FAILED,
        "app.AB.test": PASSED,
        "app.C.test": MISSING,
    }


@pytest.mark.parametrize(
    "written",
    [
        [],
        lines({"tests": ["a"]}),
        lines({"tests": ["a"]}, line("a", PASSED)),
        # The disk was full.
        [*lines({"tests": ["a"]}, line("a", PASSED)), '{"failures": 0}'],
    ],
)
def test_read_unfinished(written):
    assert comparison.read(written) is None


@pytest.mark.parametrize(
    "expected, actual",
    [
        *((PASSED, actual) for actual in (FAILED, ERROR, MISSING, SKIPPED)),
        *((PASSED, actual) for actual in (EXPECTED, UNEXPECTED)),
        *((SKIPPED, actual) for actual in (FAILED, ERROR, MISSING)),
        *((FAILED, actual) for actual in (ERROR, MISSING, SKIPPED)),
        (ERROR, FAILED),
        (EXPECTED, UNEXPECTED),
        # It is not there at all.
        (PASSED, None),
        (SKIPPED, None),
        (FAILED, None),
        # It is the fork's own.
        *((None, actual) for actual in (FAILED, ERROR, MISSING, UNEXPECTED)),
    ],
)
def test_worse(expected, actual):
    before, after = ({"a": each} if each else {} for each in (expected, actual))
    found = Difference("a", expected or PASSED, actual or MISSING)
    assert comparison.differences(before, after) == ([], [found])


@pytest.mark.parametrize("expected", [FAILED, ERROR, SKIPPED, MISSING])
def test_better(expected):
    found = Difference("a", expected, PASSED)
    assert comparison.differences({"a": expected}, {"a": PASSED}) == ([found], [])


@pytest.mark.parametrize(
    "expected, actual",
    [
        *((outcome, outcome) for outcome in (PASSED, SKIPPED, FAILED, ERROR, EXPECTED)),
        (FAILED, Outcome("failed", "AssertionError: 1 != 3")),
        *((None, outcome) for outcome in (PASSED, SKIPPED, EXPECTED)),
    ],
)
def test_same(expected, actual):
    before = {"a": expected} if expected else {}
    assert comparison.differences(before, {"a": actual}) == ([], [])


@pytest.mark.parametrize(
    "actual, again, flaky",
    [
        (FAILED, PASSED, True),
        (SKIPPED, PASSED, True),
        (FAILED, FAILED, False),
        (FAILED, SKIPPED, False),
        (FAILED, MISSING, False),
        (FAILED, None, False),
        (LOST, PASSED, False),
    ],
)
def test_settle(actual, again, flaky):
    found = Difference("a", PASSED, actual)
    settled = comparison.settle([found], {"a": again} if again else {})
    assert settled == (([found], []) if flaky else ([], [found]))


@pytest.mark.parametrize(
    "reason",
    [
        "OperationalError: consuming input failed: SSL error: decryption failed",
        "OperationalError: the connection is closed",
        "OperationalError: the connection is lost",
        "InterfaceError: connection already closed",
        "PoolTimeout: couldn't get a connection after 30.00 sec",
        "OperationalError: consuming input failed: server closed the connection "
        "unexpectedly",
        "OperationalError: (2013, 'Lost connection to server during query')",
        "OperationalError: (2006, 'Server has gone away')",
    ],
)
def test_lost_connection_is_never_flaky(reason):
    found = Difference("a", PASSED, Outcome("error", reason))
    assert comparison.settle([found], {"a": PASSED}) == ([], [found])


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """
    What runs give, in turn: outcomes of the test "a" and those that follow, or
    of the tests that are named.
    """
    given = []

    def run(options, name, tree, module, path, labels=(), again=False):
        outcomes = given.pop(0)
        if not isinstance(outcomes, dict):
            outcomes = dict(zip("abcdefghij", outcomes))
        assert not again or set(labels) == outcomes.keys()
        return outcomes

    monkeypatch.setattr(environment, "bootstrap", lambda *args: None)
    monkeypatch.setattr(suite, "_tree", lambda *args: contextlib.nullcontext(tmp_path))
    monkeypatch.setattr(suite, "_suite", run)
    monkeypatch.setattr(suite, "DIRECTORY", tmp_path)
    yield given
    assert given == []


@pytest.mark.parametrize("label", ["nothing", "app.nothing"])
def test_label_without_tests(runs, capsys, label):
    runs.append({"unittest.loader._FailedTest.nothing": ERROR})
    assert suite.main([*SQLITE, "--", label]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"suite: error: {label} can't be imported")


@pytest.mark.parametrize(
    "stock, fork, again, said",
    [
        ([PASSED, SKIPPED], [PASSED, SKIPPED, PASSED], [], None),
        # As one who isn't root, and with a pool.
        ([LOST, FAILED], [PASSED, PASSED], [], "which was not expected and is no"),
        ([PASSED, PASSED], [PASSED, FAILED], [{"b": PASSED}], "Flaky, as it came out"),
        ([PASSED, PASSED], [PASSED, FAILED], [{"b": FAILED}], "DIFFERENT"),
        ([PASSED, PASSED], [PASSED, LOST], [{"b": PASSED}], "DIFFERENT"),
        ([PASSED, PASSED], [PASSED, SKIPPED], [{"b": SKIPPED}], "DIFFERENT"),
        ([PASSED, PASSED], [PASSED], [{"b": PASSED}], "Flaky, as it came out"),
        ([PASSED, PASSED], [PASSED], [{"b": MISSING}], "DIFFERENT"),
        ([PASSED], [PASSED, FAILED], [{"b": FAILED}], "DIFFERENT"),
        # Both fail.
        ([PASSED, FAILED], [PASSED, FAILED], [{"b": FAILED}], None),
        ([PASSED, FAILED], [PASSED, FAILED], [{"b": PASSED}] * 2, "Flaky, as it came"),
        (
            [PASSED, FAILED],
            [PASSED, FAILED],
            [{"b": PASSED}, {"b": FAILED}],
            "DIFFERENT",
        ),
        ([PASSED, LOST], [PASSED, FAILED], [{"b": FAILED}], None),
        ([PASSED, LOST], [PASSED, LOST], [{"b": LOST}] * 2, "DIFFERENT"),
        (
            [PASSED, ERROR],
            [PASSED, FAILED],
            [{"b": ERROR}, {"b": FAILED}],
            "DIFFERENT, and run again alone: b\n  expected: error: ValueError: no\n",
        ),
        ([], [ERROR] * 6, [dict.fromkeys("abcdef", PASSED)], "no more than 5 may be"),
    ],
)
def test_compare(runs, capsys, stock, fork, again, said):
    runs += [stock, fork, *again]
    status = suite.main(SQLITE)
    out = capsys.readouterr().out
    assert status == ("DIFFERENT" in out or "Flaky: 6" in out)
    if said:
        assert said in out
    else:
        assert "run again" not in out


def test_module_that_neither_can_import_is_no_difference(runs, capsys):
    """Alone, its failure has another name."""
    runs += [{f"{suite.FAILED_IMPORT}mail.test_backends": ERROR}] * 2
    assert suite.main(SQLITE) == 0
    assert "Flaky: 0" in capsys.readouterr().out


@pytest.mark.parametrize("order", [[], ["--reverse"], ["--shuffle=7"]])
def test_order(tmp_path, monkeypatch, order):
    """Tests that are run again alone are so in the usual order."""
    commands = []

    def run(command, **options):
        commands.append(command[2:])

    monkeypatch.setattr(processes, "run", run)
    monkeypatch.setattr(suite, "written", lambda *args: {})
    monkeypatch.setattr(suite, "DIRECTORY", tmp_path)
    options = suite._parser().parse_args([*SQLITE, "--parallel=3", *order])
    options.python = "python"
    suite._suite(options, "x", tmp_path, "module", "")
    suite._suite(options, "x", tmp_path, "module", "", ["app.Tests.test"], again=True)
    always = ["--settings=module", "--noinput"]
    assert commands == [
        [*always, "--parallel=3", *order],
        [*always, "--parallel=1", "app.Tests.test"],
    ]


def test_real_difference(tmp_path, monkeypatch, capsys):
    """A test of Django's that fails in the fork's tree is found."""
    version = usable()
    fork = checkout.checkout(tmp_path / "fork", version, changes=[])
    with open(fork / "django/dispatch/dispatcher.py", "a") as file:
        file.write("Signal.has_listeners = lambda *args, **kwargs: False\n")
    make = suite._tree

    def tree(version, side, directory):
        fake = contextlib.nullcontext(fork)
        return fake if side == "fork" else make(version, side, directory)

    monkeypatch.setattr(environment, "bootstrap", lambda *args: None)
    monkeypatch.setattr(suite, "_tree", tree)
    monkeypatch.setattr(suite, "DIRECTORY", tmp_path)
    assert suite.main([*SQLITE, "--parallel=1", "--", "dispatch"]) == 1
    out = capsys.readouterr().out
    assert (
        "DIFFERENT, and run again alone: dispatch.tests.DispatcherTests."
        "test_has_listeners\n  expected: passed\n  was: failed: " in out
    )
    assert (tmp_path / f"{version}-sqlite-fork-again.log").exists()


@pytest.mark.parametrize(
    "code, said",
    [
        ("raise SystemExit('no database')", "did not come to its end (no database)"),
        ("print(os.getpid(), flush=True); time.sleep(60)", "did not end in 0 minutes"),
    ],
)
def test_no_end(tmp_path, monkeypatch, capsys, code, said):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/runtests.py").write_text(f"import os, time\n{code}\n")
    monkeypatch.setattr(environment, "bootstrap", lambda *args: None)
    monkeypatch.setattr(suite, "_tree", lambda *args: contextlib.nullcontext(tmp_path))
    monkeypatch.setattr(suite, "DIRECTORY", tmp_path)
    monkeypatch.setattr(suite, "TICK", 0.4)
    monkeypatch.setattr(suite, "DEADLINE", 1)
    assert suite.main(SQLITE) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("suite: error: ") and said in line
    printed = (tmp_path / f"{usable()}-sqlite-stock.log").read_text().split()
    assert not any(word.isdigit() and psutil.pid_exists(int(word)) for word in printed)
