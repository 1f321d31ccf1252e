"""The commands of checks and .ci, as far as they can be seen in seconds."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from checks import comparison, requirements, settings, stock, trees
from checks.comparison import MISSING, PASSED, Difference, Outcome
from overlay import ROOT, OverlayError
from overlay.releases import usable

SKIPPED = Outcome("skipped", "no server")
FAILED = Outcome("failed", "AssertionError: 1 != 2")
ERROR = Outcome("error", "ValueError: no")
LOST = Outcome("error", "OperationalError: consuming input failed: SSL error: bad")

# A command that has started a server and a child, and waits.
WAITING = """
import sys, time
from checks import interrupts, processes
from checks.databases import postgresql
from overlay import run

CHILD = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def command():
    with interrupts.unwinding(), postgresql.embedded() as parameters:
        print(parameters["HOST"], flush=True)
        processes.run([sys.executable, "-c", CHILD])


sys.exit(run("test", command))
"""

# What can come of a test, and of what is run once for several.
SAMPLE = """
import unittest


class Tests(unittest.TestCase):
    # What follows a skipped test is counted wrongly on Python 3.12.1.
    @unittest.skip("first")
    def test_a(self):
        pass

    def test_b(self):
        pass

    def test_c(self):
        self.fail("no\\nmore")

    def test_d(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertEqual(number, 1)

    @unittest.expectedFailure
    def test_e(self):
        self.fail()

    def test_g(self):
        error = ValueError("with what can't be sent to another process")
        error.function = lambda: None
        raise error


class SetUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise ValueError("set up")

    def test_f(self):
        pass
"""
SAMPLE_OUTCOMES = {
    "Tests.test_a": "skipped: first",
    "Tests.test_b": "passed",
    "Tests.test_c": "failed: AssertionError: no",
    "Tests.test_d": "failed: AssertionError: 0 != 1",
    "Tests.test_e": "expected failure: AssertionError: None",
    "Tests.test_g": "error: ValueError: with what can't be sent to another process",
    "SetUp.test_f": "error: ValueError: set up",
}
RUN = """
import sys
import django
django.setup()
from outcomes import Runner
Runner(parallel=int(sys.argv[1]), verbosity=0).run_tests(["sample"])
"""


def run(*command):
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("tests/runtests.py --django abc", "'abc' is not a version of Django"),
        ("tests/runtests.py --pool --driver=psycopg2", "A pool needs PostgreSQL with"),
        ("tests/runtests.py --pool --database=mariadb", "A pool needs PostgreSQL with"),
        ("tests/runtests.py --database=mariadb --driver=psycopg", "psycopg is no driv"),
        ("tests/runtests.py --pool --settings=test_sqlite", "--database, --driver, an"),
        (
            "tests/runtests.py --settings=missing.settings dispatch",
            "There is no module",
        ),
        ("tests/runtests.py --checkout=missing dispatch", "missing is no checkout of"),
        ("tests/runtests.py --checkout=. --stock", "--checkout is what it is"),
        ("-m checks.suite --database=sqlite --pool", "A pool needs PostgreSQL with"),
    ],
)
def test_bad_input_is_one_line(command, said):
    process = run(sys.executable, *command.split())
    assert process.returncode == 1 and process.stdout == ""
    last = process.stderr.splitlines()[-1]
    assert re.match(rf"\w+: error: {re.escape(said)}", last), process.stderr
    assert "Traceback" not in process.stderr


def test_arguments_are_django_s():
    """They reach Django's runtests.py, and its status comes back."""
    arguments = ["dispatch", "--settings=test_sqlite", "-v2", "-k", "test_send"]
    process = run(sys.executable, "tests/runtests.py", *arguments)
    assert process.returncode == 0, process.stderr
    assert "test_send (dispatch.tests.DispatcherTests" in process.stderr
    assert "test_cannot_connect" not in process.stderr
    process = run(sys.executable, "tests/runtests.py", *arguments, "--parallel=x")
    assert process.returncode == 2 and "--parallel" in process.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_all_that_was_started(number):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process:
        directory, child = (process.stdout.readline().strip() for _ in range(2))
        with open(f"{directory}/data/postmaster.pid") as file:
            family = [psutil.Process(int(each)) for each in (file.readline(), child)]
        process.send_signal(number)
        assert process.wait(60) == {2: 130, 15: 143}[number]
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive and not os.path.exists(directory)


@pytest.mark.parametrize("parallel", [1, 2])
def test_runner(tmp_path, parallel):
    """Every outcome is that of its own test, in parallel as well."""
    (tmp_path / "sample.py").write_text(SAMPLE)
    # A module, since workers may not be forked from the process that has them.
    (tmp_path / "no_settings.py").touch()
    shutil.copy(settings.RUNNER, tmp_path)
    file = tmp_path / "outcomes.jsonl"
    with trees.tree(usable()) as tree:
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tree), str(tmp_path)]),
            "DJANGO_SETTINGS_MODULE": "no_settings",
            "OVERLAY_OUTCOMES": str(file),
        }
        command = [sys.executable, "-c", RUN, str(parallel)]
        subprocess.run(command, cwd=tmp_path, env=environ, timeout=120, check=True)
    with open(file) as entries:
        outcomes = comparison.read(entries)
    assert {test: str(outcome) for test, outcome in outcomes.items()} == {
        f"sample.{test}": outcome for test, outcome in SAMPLE_OUTCOMES.items()
    }
    # The disk was full.
    assert comparison.read(file.read_text().splitlines(True)[:-1]) is None


@pytest.mark.parametrize(
    ("expected", "actual", "found"),
    [
        *((PASSED, actual, "worse") for actual in (FAILED, ERROR, MISSING, SKIPPED)),
        *((SKIPPED, actual, "worse") for actual in (FAILED, ERROR, MISSING)),
        *((FAILED, actual, "worse") for actual in (ERROR, MISSING, SKIPPED)),
        # It is our own.
        *((None, actual, "worse") for actual in (FAILED, ERROR, MISSING)),
        *((each, PASSED, "better") for each in (FAILED, ERROR, SKIPPED, MISSING)),
        *((each, each, None) for each in (PASSED, SKIPPED, FAILED, ERROR)),
        *((None, actual, None) for actual in (PASSED, SKIPPED)),
    ],
)
def test_differences(expected, actual, found):
    before = {"a": expected} if expected else {}
    difference = Difference("a", expected or PASSED, actual)
    better, worse = comparison.differences(before, {"a": actual})
    assert better == [difference] * (found == "better")
    assert worse == [difference] * (found == "worse")


@pytest.mark.parametrize(
    ("actual", "again", "flaky"),
    [
        (FAILED, PASSED, True),
        (FAILED, FAILED, False),
        (FAILED, None, False),
        # A lost connection is never a flaky test.
        (LOST, PASSED, False),
        (Outcome("error", "PoolTimeout: couldn't get a connection"), PASSED, False),
        (Outcome("error", "(2006, 'Server has gone away')"), PASSED, False),
    ],
)
def test_flaky(actual, again, flaky):
    found = Difference("a", PASSED, actual)
    settled = comparison.settle([found], {"a": again} if again else {})
    assert settled == (([found], []) if flaky else ([], [found]))


def test_stock():
    """Of our tests, those that pass on official Django are known."""
    outcomes = {"a": PASSED, "b": FAILED}
    stock.check(outcomes, {"a": "reason"})
    for known, said in (({}, "a: passes on"), ({"a": "", "b": ""}, "b: fails on")):
        with pytest.raises(OverlayError, match=said):
            stock.check(outcomes, known)
    for nothing in ({}, {"a": SKIPPED}, {"a": MISSING}):
        with pytest.raises(OverlayError, match="No test ran|shows nothing"):
            stock.check(nothing, {})


@pytest.mark.parametrize(
    ("test", "reason", "allowed"),
    [
        ("backends.postgresql.test_fork.A.test", "PostgreSQL tests", True),
        ("backends.postgresql.test_fork.A.test", "no such thing", False),
        ("checks/tests/test_x.py::test", "Skipped: redis-server is not on", False),
        ("backends.tests.A.test_fork", "no such thing", True),
    ],
)
def test_our_tests_are_skipped_for_known_reasons_only(tmp_path, test, reason, allowed):
    line = {"test": test, "outcome": "skipped", "reason": reason}
    (tmp_path / "file").write_text(json.dumps(line) + "\n")
    process = run(sys.executable, ".ci/count.py", tmp_path / "file", "everywhere")
    assert process.returncode == int(not allowed)
    assert "0 passed, 0 failed, 1 skipped" in process.stdout
    assert (f"{test}: skipped ({reason}): let it run" in process.stdout) is not allowed


def test_documents():
    """README names each room and driver, and design.md no lost test."""
    readme = (ROOT / "README.md").read_text()
    rooms = {f"`{path.parent.name}/`" for path in ROOT.glob("*/__init__.py")}
    assert all(room in readme for room in rooms | {"`django/`", "`tests/`"})
    for driver, names in requirements.DRIVERS.items():
        for name in names if driver not in ("psycopg-c", "psycopg-python") else ():
            assert f" {name.partition('==')[2]}" in readme, name
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs/design.md").read_text())
    assert [name for name in named if f"def {name}(" not in sources] == []
