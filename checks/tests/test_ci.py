"""What .ci/run counts, what it refuses, and what README says of the rest."""

import json
import os
import re
import subprocess
import sys

import pytest

from checks import requirements
from overlay import ROOT, releases, sources

COUNT = ROOT / ".ci" / "count.py"

OLDEST = [name for name in requirements.DRIVERS if name.endswith("-oldest")]


def count(tmp_path, *lines):
    file = tmp_path / "outcomes"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return subprocess.run(
        [sys.executable, COUNT, file, "everywhere"], capture_output=True, text=True
    )


def outcome(test, name, reason=""):
    return {"test": test, "outcome": name, "reason": reason}


def test_counts_what_the_runners_write(tmp_path):
    process = count(
        tmp_path,
        {"tests": ["app.a", "app.b"]},
        outcome("app.a", "passed"),
        outcome("app.b", "expected failure"),
        outcome("app.c", "skipped", "Database has no such thing"),
        outcome("app.d", "unexpected success"),
        {"failures": 1},
        outcome("checks/tests/test_x.py::test", "failed"),
        outcome("checks/tests/test_x.py::other", "passed"),
    )
    assert process.stdout.splitlines()[-1] == "3 passed, 2 failed, 1 skipped"
    assert process.returncode == 0


@pytest.mark.parametrize(
    "test, reason, allowed",
    [
        ("backends.postgresql.test_fork.A.test", "PostgreSQL tests", True),
        ("backends.postgresql.test_fork.A.test", "no such thing", False),
        ("checks/tests/test_x.py::test", "Skipped: redis-server is not on", False),
        ("backends.tests.A.test_fork", "no such thing", True),
    ],
)
def test_our_tests_are_skipped_for_known_reasons_only(tmp_path, test, reason, allowed):
    process = count(tmp_path, outcome(test, "skipped", reason))
    assert process.returncode == int(not allowed)
    assert (f"{test}: skipped ({reason}): let it run" in process.stdout) is not allowed


@pytest.mark.parametrize(
    "test", ["def test():\n    assert 1", "def test():\n    assert 0", ""]
)
def test_outcomes_of_pytest(tmp_path, test):
    """They are written once, in several processes, and only from here."""
    (tmp_path / "test_it.py").write_text(f"import os\n{test}\n")
    file = tmp_path / "outcomes"
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-n2", "-p", "conftest"]
        + ["--rootdir", tmp_path, tmp_path],
        cwd=ROOT,
        env={**os.environ, "OVERLAY_OUTCOMES": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = file.read_text().splitlines() if file.exists() else []
    found = [json.loads(line)["outcome"] for line in lines]
    expected = {0: ["passed"], 1: ["failed"]}.get(process.returncode, [])
    assert found == expected, process.stdout


@pytest.mark.parametrize(
    "command, said",
    [
        (["run", "everything"], "run: error: everything is nothing to run: leave it"),
        (["bare"], "bare: error: name a suite, a Python, and a command"),
        (["bare", "--ordinary", "sid", "python3"], "bare: error: name a suite"),
    ],
)
def test_bad_input_is_one_line(command, said):
    process = subprocess.run(
        [ROOT / ".ci" / command[0], *command[1:]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    (line,) = process.stderr.splitlines()
    assert line.startswith(said)
    assert process.returncode


def test_readme_names_each_room():
    readme = (ROOT / "README.md").read_text()
    (table,) = re.findall(r"\| where \| what \|\n(.*?)\n\n", readme, re.DOTALL)
    named = set(re.findall(r"`([\w.]+/[\w./]*)`", table))
    packages = {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")}
    assert packages <= named
    for room in named:
        assert (ROOT / room).exists(), room


def test_readme_names_the_drivers_that_are_tested():
    readme = (ROOT / "README.md").read_text()
    supported = readme.partition("## What is supported")[2].partition("\n## ")[0]
    for driver in ("psycopg", "psycopg2", "mysqlclient", "pymysql", *OLDEST):
        for requirement in requirements.DRIVERS[driver]:
            assert f" {requirement.partition('==')[2]}" in supported, requirement


def test_oldest_drivers_are_those_that_django_takes():
    django = sources.files(sources.sdist(releases.newest()))
    files = [f"tests/requirements/{name}.txt" for name in ("postgres", "mysql")]
    # Which names psycopg 2.
    files.append("django/db/backends/postgresql/base.py")
    said = "".join(django[file].content.decode() for file in files)
    for driver in OLDEST:
        for requirement in requirements.DRIVERS[driver]:
            name, _, version = requirement.replace("-binary", "").partition("==")
            assert re.search(rf"\b{re.escape(name)} ?>= ?{re.escape(version)}\b", said)
