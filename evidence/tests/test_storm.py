"""What a storm counts, with a database and a Django that aren't there."""

import json
import subprocess
import sys
import time

import pytest

import evidence.__main__ as command
from evidence import lifecycle, storm, trial
from evidence.storm import Outcome, Software, Storm
from overlay import ROOT, OverlayError, environment
from overlay.releases import usable


def write(directory, files):
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(content)


# In seconds.
DEADLINE = 60

SMALL = Storm(forks=6, threads=2, alive=3, seconds=20, seed=1)

GOOD = Outcome(forks=6, queries=50, ended=6, rows=9)

# Instead of django.db, where `body` is what becomes of a query in a child and
# in the parent.
DJANGO = """\
import contextlib, os, time
PARENT = os.getpid()
def answer(token):
    time.sleep(0.001)
    in_child = os.getpid() != PARENT
    {body}
    return token
class ProgrammingError(Exception): pass
class Cursor:
    def execute(self, query, arguments):
        self.answer = answer(*arguments)
    def fetchone(self):
        return (self.answer,)
class Connection:
    def close(self): pass
    close_all = close
    def cursor(self):
        return contextlib.nullcontext(Cursor())
connection = connections = Connection()
transaction = None
"""
MAIN = """\
from app import storm
storm.PATIENCE = 1
storm.insert = storm.iterate = lambda *arguments: None
storm.PARENTS = [storm.query]
storm.CHILDREN = [lambda dice: storm.ask(), storm.in_threads, storm.fork_again]
storm.main(*{storm})
"""


@pytest.fixture
def run(tmp_path):
    """A trial of which nothing is there."""
    environ = {"EVIDENCE_TOLD": str(tmp_path / "told"), "PYTHONPATH": str(tmp_path)}
    deadline = time.monotonic() + DEADLINE
    python = sys.executable
    return lifecycle.Trial(python, 0, False, deadline, tmp_path, environ, None)


@pytest.fixture
def stormed(run):
    """Return what comes of a small storm, with the `body` of answer()."""

    def stormed(body="pass", wanted=SMALL):
        app = ROOT / "evidence/app"
        run.told.unlink(missing_ok=True)
        write(
            run.directory,
            {
                "app/__init__.py": "",
                "app/storm.py": (app / "storm.py").read_text(),
                "app/telling.py": (app / "telling.py").read_text(),
                "django/__init__.py": "def setup(): pass\n",
                "django/core/__init__.py": "",
                "django/core/signals.py": "request_started = None\n",
                "django/db.py": DJANGO.format(body=body),
            },
        )
        main = MAIN.format(storm=tuple(wanted))
        with lifecycle.started(run, [run.python, "-W", "ignore", "-c", main]) as parent:
            lines = storm._told(run, parent)
        return Outcome(**storm.came(*lines), log=run.log.read_text())

    return stormed


def test_storm(stormed):
    outcome = stormed()
    assert outcome.intact(SMALL)
    assert (outcome.forks, outcome.ended) == (6, 6)
    assert outcome.queries > 6


@pytest.mark.parametrize(
    "body, field",
    [
        ("token = 'x' if in_child else token", "wrong"),
        ("assert not in_child", "failed"),
        ("if in_child: os.kill(os.getpid(), 11)", "failed"),
        ("if in_child: os._exit(5)", "failed"),
        ("if in_child: time.sleep(60)", "hung"),
    ],
)
def test_what_goes_wrong_in_children(stormed, body, field):
    outcome = stormed(body)
    assert getattr(outcome, field) == 6
    assert not outcome.intact(SMALL)
    # The stack of a child that hangs.
    assert ("in answer" in outcome.log) == (field == "hung")


def test_what_goes_wrong_in_the_parent(stormed):
    outcome = stormed("token = token if in_child else 'x'")
    assert outcome.wrong and not outcome.queries and not outcome.intact(SMALL)
    outcome = stormed("assert in_child, 'lost'", SMALL._replace(seconds=1))
    assert set(outcome.errors) == {"AssertionError: lost"}
    assert not outcome.intact(SMALL)


def test_parent_that_hangs(stormed):
    outcome = stormed("if not in_child: time.sleep(60)", SMALL._replace(seconds=1))
    assert outcome.errors == {"a thread hangs": SMALL.threads}
    assert "in answer" in outcome.log


def test_parent_that_ends(stormed):
    told = "open(os.environ['EVIDENCE_TOLD']).read()"
    for condition in ("in_child", f"in_child and '\"ended\"' in {told}"):
        outcome = stormed(
            f"if {condition}: os.kill(PARENT, 11)", SMALL._replace(forks=1000)
        )
        assert outcome.errors == {"the parent ended with the status -11": 1}
        assert not outcome.intact(SMALL)
    assert outcome.ended and outcome.forks


def test_time_that_is_too_short(stormed):
    wanted = SMALL._replace(forks=100_000, seconds=1)
    outcome = stormed(wanted=wanted)
    assert 0 < outcome.forks == outcome.ended < wanted.forks
    assert not outcome.intact(wanted)


def test_few_forks_say_nothing_of_what_each_leaves():
    few = storm.Storm(forks=10)
    outcome = GOOD._replace(ended=10, descriptors=0.2)
    assert outcome.intact(few)
    assert "descriptors" not in "".join(storm.report(few, outcome))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({}, "0 wrong, 0 failed, 0 hung, 0 errors of the parent, 0 rows lost, 0 rows"),
        ({"wrong": 1}, "1 wrong,"),
        ({"failed": 1}, "1 failed,"),
        ({"hung": 1, "log": "its stack"}, "its stack"),
        ({"left": 1}, "1 sessions left"),
        ({"lost": 1}, "1 rows lost"),
        ({"strange": 1}, "1 rows too many"),
        ({"printed": 1, "log": "a warning"}, "a warning"),
        ({"descriptors": 0.06}, "had +0.06 descriptors"),
        ({"memory": 17000.0}, "+17000 bytes of memory"),
        ({"errors": {"OperationalError: x": 2}}, "2 x OperationalError: x"),
        ({"ended": 5}, "5 children ended as they were to"),
    ],
)
def test_status_and_report(monkeypatch, capsys, tmp_path, changes, words):
    asked, file = [], tmp_path / "storm.json"

    def outcome(*arguments):
        asked.append(arguments)
        return GOOD._replace(**changes)

    monkeypatch.setattr(environment, "bootstrap", lambda name, requirements: None)
    monkeypatch.setattr(storm, "outcome", outcome)
    monkeypatch.setattr(storm, "FEWEST", 6)
    options = ["--stock", "--pool", "--driver=psycopg-c", "--dev"]
    status = command.main(
        ["storm", "--forks=6", "--seed=7", *options, f"--json={file}"]
    )
    assert status == int(bool(changes))
    written = json.loads(file.read_text())
    assert written["command"] == (
        "python3 evidence storm --forks=6 --threads=4 --alive=8 --seconds=60 --seed=7 "
        "--driver=psycopg-c --dev --pool --stock"
    )
    assert [setup["connections"] for setup in written["setups"]] == ["pool"]
    ((wanted, *rest),) = asked
    assert wanted == Storm(forks=6, seed=7)
    software = Software("embedded", "psycopg-c", dev=True)
    assert rest == [trial.POOL, trial.STOCK, usable(), software]
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, software, kinds",
    [
        ([], Software(), ["pool", "persistent"]),
        (["--persistent"], Software(), ["persistent"]),
        (["--driver=psycopg2"], Software(driver="psycopg2"), ["persistent"]),
        (
            ["--database=mariadb"],
            Software("mariadb", "mysqlclient"),
            ["persistent"],
        ),
    ],
)
def test_connections_are_what_the_driver_has(monkeypatch, options, software, kinds):
    asked = []

    def outcome(wanted, connections, django, version, software):
        asked.append((connections, software))
        return GOOD

    monkeypatch.setattr(environment, "bootstrap", lambda name, requirements: None)
    monkeypatch.setattr(storm, "outcome", outcome)
    assert command.main(["storm", "--forks=6", *options]) == 0
    assert asked == [(kind, software) for kind in kinds]


def test_pool_that_the_driver_has_not(monkeypatch, capsys):
    monkeypatch.setattr(environment, "bootstrap", lambda name, requirements: None)
    assert command.main(["storm", "--pool", "--database=mariadb"]) == 1
    assert "A pool needs PostgreSQL with psycopg 3" in capsys.readouterr().err


def test_rows():
    lines = [{"begun": key} for key in "abcd"] + [{"committed": key} for key in "abc"]
    lines += [{"rolled back": "e"}]
    for rows, lost, strange in (
        ("abc", 0, 0),
        # Committed by one that was killed before it told.
        ("abcd", 0, 0),
        ("ab", 1, 0),
        ("abbc", 0, 1),
        ("abce", 0, 1),
    ):
        counted = storm.counted([*rows], lines)
        assert counted == {"rows": len(rows), "lost": lost, "strange": strange}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["storm", "--forks=0"], "'0' is not a number from 1 to"),
        (["storm", "--threads=65"], "'65' is not a number from 1 to 64"),
        (["storm", "--pool", "--persistent"], "not allowed with"),
        (["storm", "--html=x"], "--html is not for storm"),
        (["servers", "--stock"], "--stock is not for servers"),
    ],
)
def test_bad_input(arguments, words, capsys):
    with pytest.raises(SystemExit) as exit:
        command.main(arguments)
    assert exit.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_storm_that_does_not_start(run):
    run.log.write_text("one\nNo module named 'django'\n")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(DEADLINE)
    with pytest.raises(OverlayError, match=r"\(No module named 'django'\)"):
        storm._told(run, process)


def test_queries_that_can_not_be_run(run, monkeypatch):
    with pytest.raises(OverlayError, match=r"\(.*No module named 'app'\)"):
        storm._rows(run, "SELECT 1")
    write(run.directory, {"app/rows.py": "import time; time.sleep(60)"})
    monkeypatch.setattr(storm, "ROWS", 1)
    with pytest.raises(OverlayError, match="SELECT 1 did not end in 1 s"):
        storm._rows(run, "SELECT 1")
