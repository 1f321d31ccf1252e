import importlib.util
import subprocess
import sys

import pytest

from checks import processes
from overlay import ROOT, manifest, releases
from overlay.errors import OverlayError

FILE = ROOT / "tests/runtests.py"


@pytest.fixture
def runtests(monkeypatch):
    # The module puts this repository there.
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    spec = importlib.util.spec_from_file_location("runtests", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments):
    return subprocess.run(
        [sys.executable, FILE, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["--django", "abc"], "'abc' is not a version of Django"),
        (["--pool", "--driver=psycopg2"], "A pool needs PostgreSQL with psycopg 3"),
        (["--pool", "--database=mariadb"], "A pool needs PostgreSQL with psycopg 3"),
        (["--database=mariadb", "--driver=psycopg"], "psycopg is no driver for"),
        (["--pool", "--settings=test_sqlite"], "--database, --driver, and --pool are"),
        (["--settings=missing.settings", "dispatch"], "There is no module missing"),
        (["--checkout=missing", "dispatch"], "missing is no checkout of Django"),
        (["--checkout=.", "--stock"], "--checkout is what it is: leave out"),
    ],
)
def test_bad_input_is_one_line(arguments, line):
    process = run(*arguments)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith(f"runtests: error: {line}")
    assert "Traceback" not in process.stderr
    assert process.stdout == ""


def test_arguments_are_django_s():
    """They reach Django's runtests.py, and its status comes back."""
    process = run("dispatch", "--settings=test_sqlite", "-v2", "-k", "test_send")
    assert process.returncode == 0, process.stderr
    assert "test_send (dispatch.tests.DispatcherTests" in process.stderr
    assert "test_cannot_connect" not in process.stderr

    process = run(
        "dispatch", "--settings=test_sqlite", "--tag", "no_such", "--parallel=x"
    )
    assert process.returncode == 2
    assert "--parallel" in process.stderr


def test_our_options_are_not_django_s(runtests):
    options, rest = runtests._parser().parse_known_args(
        "backends --stock -v2 --django 5.2.19 --parallel 2 --settings=x --sto -k a "
        "--pool".split()
    )
    # Nor are ours Django's, abbreviated.
    assert rest == "backends -v2 --parallel 2 --sto -k a".split()
    assert options.stock and options.pool
    assert (options.django, options.settings) == ("5.2.19", "x")


def test_checkout(runtests, monkeypatch, tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/runtests.py").write_text("raise SystemExit(7)")
    monkeypatch.setattr(runtests.environment, "bootstrap", lambda *arguments: None)
    arguments = ["--database=sqlite", "--checkout", str(tmp_path), "dispatch"]
    assert runtests.main(arguments) == 7


@pytest.mark.parametrize("version", releases.RELEASES)
def test_fork_tests_are_the_manifest_s(runtests, version):
    labels = runtests._fork_tests(version)
    assert "backends.postgresql.test_fork" in labels
    files = [f"tests/{label.replace('.', '/')}.py" for label in labels]
    assert set(files) < {path for change in manifest.changes() for path in change.paths}
    assert "dispatch.test_fork" in labels
    assert "dispatch.test_fork" not in runtests._fork_tests(version, 3)


def test_own_tests_only(runtests, monkeypatch):
    monkeypatch.setattr(runtests, "_fork_tests", lambda *arguments: ["dispatch"])
    monkeypatch.setattr(runtests.environment, "bootstrap", lambda *arguments: None)
    commands = []
    monkeypatch.setattr(
        processes, "run", lambda command, **options: commands.append(command) or 0
    )
    assert runtests.main(["--own", "--settings=test_sqlite", "--shuffle"]) == 0
    ((_, *arguments),) = commands
    assert arguments == [
        "runtests.py",
        "dispatch",
        "--shuffle",
        "--settings=test_sqlite",
    ]


@pytest.mark.parametrize("statuses", [(0, 0), (0, 1), (2, 0)])
def test_summary(runtests, capsys, statuses):
    runs = {f"run {status}": lambda status=status: status for status in statuses}
    assert runtests._summary(runs) == int(any(statuses))
    out = capsys.readouterr().out
    for status in statuses:
        outcome = f"failed (exit status {status})" if status else "passed"
        assert f"run {status}: {outcome} in 0 s\n" in out


def test_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 11, 9))
    with pytest.raises(OverlayError, match="Django 6.1.3 needs Python 3.12 or later"):
        releases.usable("6.1.3")
    assert releases.usable("5.2.19") == "5.2.19"
