import http.server
import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import evidence.__main__ as command
from checks.databases import postgresql, serving
from evidence import (
    cases,
    facts,
    hooks,
    load,
    packages,
    processes,
    proof,
    report,
    series,
    sessions,
    trial,
    unsafe,
)
from evidence.count import HUNG, Answer, Figures, count, outcome
from evidence.files import replacing
from evidence.servers import SAFE, SHOWN, queues
from evidence.tests.family import FAMILY, interrupt, start, there
from overlay import ROOT, OverlayError, environment

VERSIONS = {"Django": "6.1.3", "fork": "6.1.3+fork.2"}
MACHINE = {"CPU": "small", "cores": 2, "system": "Linux"}


def answer(asked, token=None, process=1, session=10):
    return Answer(asked, token or asked, process, session)


@pytest.mark.parametrize(
    "answers, figures",
    [
        ([], Figures()),
        ([answer("a"), answer("b")], Figures(right=2)),
        ([answer("a", token="b"), answer("b")], Figures(right=1, wrong=1)),
        ([answer("a"), Answer("b", error=HUNG)], Figures(right=1, hung=1)),
        ([Answer("a", error="status 500")], Figures(failed=1)),
        # Two processes on one session, and one process on two.
        ([answer("a"), answer("b", process=2)], Figures(right=2, shared=1)),
        ([answer("a"), answer("b", session=11)], Figures(right=2)),
        # The process that forked was on it, but nobody asked it.
        ([answer(None, process=0), answer("b")], Figures(right=1, shared=1)),
        (
            [
                answer(token, process=process, session=session)
                for token, process, session in zip(
                    "abcdef", [1, 2] * 3, [1, 1, 2, 2, 1, 1]
                )
            ],
            Figures(right=6, shared=2),
        ),
    ],
)
def test_count(answers, figures):
    assert count(answers) == figures


BEHAVIOURS = ["right", "wrong", "right", "hung", "status", "closed", "closed once"]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each request in another one of the ways."""

    def do_GET(self):
        token = self.path[1:]
        # The same when it is asked again.
        if token not in self.server.behaviours:
            self.server.behaviours[token] = next(self.server.next_behaviour)
        behaviour = self.server.behaviours[token]
        if behaviour == "closed":
            return
        if behaviour == "closed once":
            self.server.behaviours[token] = "right"
            return
        if behaviour == "hung":
            self.server.ended.wait(30)
            return
        self.send_response(500 if behaviour == "status" else 200)
        self.end_headers()
        echo = "another's" if behaviour == "wrong" else token
        body = {"token": echo, "process": 1, "session": 2}
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.next_behaviour = itertools.cycle(BEHAVIOURS)
        server.behaviours = {}
        server.ended = threading.Event()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


def test_requests(server, monkeypatch):
    monkeypatch.setattr(load, "PATIENCE", 2)
    answers = list(load.requests(server.server_address, 28, time.monotonic() + 60))
    assert len({answer.asked for answer in answers}) == 28
    for answer in answers:
        behaviour = server.behaviours[answer.asked]
        expected = {"status": "failed", "closed": "failed"}.get(behaviour, behaviour)
        assert outcome(answer) == expected
    assert count(answers) == Figures(right=12, wrong=4, failed=8, hung=4)


def test_requests_end_at_the_deadline(server):
    assert list(load.requests(server.server_address, 50, time.monotonic() - 1)) == []
    assert server.behaviours == {}


def test_requests_to_a_dead_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    answers = list(load.requests(address, 3, time.monotonic() + 5))
    assert count(answers) == Figures(failed=3)


class Process:
    """A process that has ended, or doesn't."""

    def __init__(self, ended):
        self.ended = ended

    def poll(self):
        return 0 if self.ended else None


BEFORE = {**answer("before")._asdict(), "asked": None}
ASKED = [{"asked": token} for token in "abc"]
ANSWERED = [answer(token)._asdict() for token in "abc"]
FAILED = {"asked": "c", "error": "OperationalError"}


def told(path, lines, ended, deadline):
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [BEFORE, *lines]))
    answers = load.told(path, Process(ended), time.monotonic() + deadline)
    return [answer for answer in answers if answer.asked]


@pytest.mark.parametrize(
    "lines, ended, figures",
    [
        ([*ASKED, *ANSWERED], True, Figures(right=3)),
        ([*ASKED, *ANSWERED[:2], FAILED], True, Figures(right=2, failed=1)),
        # Silence.
        ([*ASKED, *ANSWERED[:2]], False, Figures(right=2, hung=1)),
        # The process is gone, and its answer with it.
        ([*ASKED, *ANSWERED[:1]], True, Figures(right=1, failed=2)),
    ],
)
def test_told(lines, ended, figures, monkeypatch, tmp_path):
    monkeypatch.setattr(load, "PATIENCE", 0.2)
    assert count(told(tmp_path / "told", lines, ended, 30)) == figures


def test_told_ends_at_the_deadline(tmp_path):
    (answer,) = told(tmp_path / "told", ASKED, True, -1)
    assert outcome(answer) == "hung"


def test_told_by_the_parent(tmp_path):
    asked, answered = ({**lines[0], "parent": True} for lines in (ASKED, ANSWERED))
    answers = told(tmp_path / "told", [asked, answered], True, 30)
    assert [answer.parent for answer in answers] == [True]
    # It asks for itself.
    assert count(answers) == Figures()
    (unanswered,) = told(tmp_path / "told", [asked], True, 30)
    assert (unanswered.parent, outcome(unanswered)) == (True, "failed")


def test_parent_that_does_not_end(monkeypatch, tmp_path):
    monkeypatch.setattr(load, "PATIENCE", 0.2)
    answers = told(tmp_path / "told", [*ASKED, *ANSWERED], False, 30)
    assert count(answers) == Figures(right=3)
    assert (answers[-1].parent, outcome(answers[-1])) == (True, "hung")


SERVERS = series.chosen(quick=True)
SETUPS = trial.setups(SERVERS, [trial.POOL])


def results(**changes):
    """Return results that prove the fork, but for the figures in `changes`."""
    figures = {
        "stock": Figures(right=100, wrong=90, hung=4, shared=4),
        "workaround": Figures(right=190, wrong=10),
        "fork": Figures(right=trial.TOKENS),
        **changes,
    }
    return [
        trial.Result(
            setup,
            figures[setup.django.split()[-1]],
            Figures(right=3),
            processes=4,
            sessions=8,
            milliseconds=1.26,
            seconds=1.5,
        )
        for setup in SETUPS
    ]


def doubts(results):
    return proof.doubts(SERVERS, SETUPS, results)


def document(results):
    return report.document(SERVERS, SETUPS, results, VERSIONS, MACHINE, "python3 …")


def test_results_that_prove_it():
    assert doubts(results()) == []
    said = document(results())["sentence"]
    assert "6.1.3 gave 180 of 388 requests" in said
    assert "20 of 400" in said
    assert "all 400 rightly" in said


@pytest.mark.parametrize(
    "changes",
    [
        {"stock": Figures(right=200)},
        {"fork": Figures(right=199, wrong=1)},
        {"fork": Figures(right=199, failed=1)},
        {"fork": Figures(right=200, hung=1)},
        {"fork": Figures(right=200, shared=1)},
        # Cut short.
        {"fork": Figures(right=199)},
        {"fork": Figures()},
    ],
)
def test_results_that_prove_nothing(changes):
    assert len(doubts(results(**changes))) == len(SERVERS)
    assert "does not show" in document(results(**changes))["sentence"]


def test_results_that_are_missing():
    assert len(doubts(results()[:-1])) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"processes": 1},
        {"parent": Figures(right=2, wrong=1)},
        {"parent": Figures(right=2, hung=1)},
        {"reason": "it does not start (no such file)"},
    ],
)
def test_results_that_are_not_enough(changes):
    *others, last = results()
    assert last.setup.django == trial.FORK
    assert len(doubts([*others, last._replace(**changes)])) == 1


def test_servers_that_are_right_on_stock():
    """They prove nothing, and have to be right on the fork."""
    right = results(stock=Figures(right=200))
    safe = [server._replace(expected=SAFE) for server in SERVERS]
    assert proof.doubts(safe, SETUPS, right) == []
    wrong = results(stock=Figures(right=200), fork=Figures(right=199, wrong=1))
    assert len(proof.doubts(safe, SETUPS, wrong)) == len(SERVERS)
    first, second = SERVERS
    mixed = [
        one if one.setup.server == first.name else other
        for one, other in zip(results(), wrong)
    ]
    assert proof.doubts(SERVERS, SETUPS, mixed)
    some = [first, second._replace(expected=SHOWN)]
    assert not proof.doubts(some, SETUPS, mixed)
    said = proof.sentence(some, mixed, [], VERSIONS)
    assert "all 200 rightly" in said
    assert f"{second.name} is not counted" in said


def test_servers_that_cannot_be_run(monkeypatch):
    """They are named, and fail the run in CI or where nothing else was run."""
    missing, reason = SERVERS[-1].name, "it isn't installed"
    some = [
        (
            trial.not_run(result.setup, reason)
            if result.setup.server == missing
            else result
        )
        for result in results()
    ]
    monkeypatch.delenv("CI", raising=False)
    assert doubts(some) == []
    assert f" {missing} was not run: {reason}." in document(some)["sentence"]
    assert doubts([trial.not_run(setup, reason) for setup in SETUPS])
    monkeypatch.setenv("CI", "true")
    assert len(doubts(some)) == 3
    assert "does not show" in document(some)["sentence"]


def test_server_that_only_the_fork_cannot_run(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    *others, last = results()
    assert last.setup.django == trial.FORK
    assert len(doubts([*others, trial.not_run(last.setup, "it hangs")])) == 1


def test_servers_that_are_only_shown():
    shown = [server._replace(expected=SHOWN) for server in SERVERS]
    assert len(proof.doubts(shown, SETUPS, results())) == 1


def test_json():
    """Each set-up is a line, whatever stands in it."""
    given = document(results()) | {"sentence": 'with "setups": null in it'}
    written = report.text(given)
    assert json.loads(written) == json.loads(json.dumps(given))
    lines = [line for line in written.splitlines() if line[:2] == '{"']
    assert len(lines) == len(given["setups"])


def test_no_set_up_starts_after_the_deadline():
    assert series._results({}, SETUPS, {}, {}, {}, time.monotonic() - 1) == []


def test_servers_are_chosen_by_name():
    names = [server.name for server in series.SERVERS]
    assert len(set(names)) == len(names)
    assert [server.name for server in series.chosen()] == names
    assert {server.name for server in SERVERS} == set(series.QUICK)
    assert [server.name for server in series.chosen(["GUNICORN SYNC"])] == [
        "gunicorn sync"
    ]
    with pytest.raises(OverlayError, match="no server nginx: name some of gunicorn"):
        series.chosen(["nginx"])


@pytest.fixture
def run(monkeypatch):
    """Run the command with the given results in place of measured ones."""

    def run(results, *arguments):
        given = SETUPS, results, VERSIONS
        monkeypatch.setattr(series, "measured", lambda *arguments: given)
        return command.main(arguments)

    monkeypatch.setattr(environment, "bootstrap", lambda name, requirements: None)
    monkeypatch.setattr(facts, "machine", lambda: MACHINE)
    return run


def test_status(run, capsys):
    assert run(results()) == 0
    assert "gave 180 of 388" in capsys.readouterr().out
    assert run(results(fork=Figures(right=199, wrong=1))) == 1
    row = "pool fork 199 1 0 0 0 8 1.3 3 of 3"
    assert row in " ".join(capsys.readouterr().out.split())
    assert run(results(stock=Figures(right=200))) == 1


def test_files(run, tmp_path):
    file, page = tmp_path / "figures.json", tmp_path / "report.html"
    options = ["--only", "gunicorn sync", "--only", "multi", "--tls"]
    assert run(results(), *options, "--json", str(file), "--html", str(page)) == 0
    document = json.loads(file.read_text())
    assert document["proven"] is True
    assert document["versions"] == VERSIONS
    assert document["machine"] == MACHINE
    assert document["command"] == (
        "python3 evidence quick --only 'gunicorn sync' --only multi --tls"
    )
    assert document["setups"][0] == {
        "server": "gunicorn sync",
        "connections": "pool",
        "django": "stock",
        "workaround": "post_fork",
        "expected": "bug",
        "note": "",
        **Figures(right=100, wrong=90, hung=4, shared=4)._asdict(),
        "sessions": 8,
        "ms": 1.26,
        "processes": 4,
        "parent": Figures(right=3)._asdict(),
        "held": [],
        "errors": [],
        "seconds": 1.5,
        "not_run": None,
    }
    assert document["sentence"] in page.read_text()
    assert sorted(tmp_path.iterdir()) == [file, page]


@pytest.mark.parametrize("file", ["missing/figures.json", "."])
def test_json_that_cannot_be_written(run, tmp_path, file, capsys, monkeypatch):
    # It is said before anything runs.
    monkeypatch.setattr(series, "measured", None)
    assert run(results(), "--json", str(tmp_path / file)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"evidence: error: {tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_json_leaves_the_old_one(tmp_path):
    file = tmp_path / "figures.json"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(file) as new:
        new.write_text("half of")
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_signal_ends_what_was_started(number, status):
    process = start(
        """
        import os, sys, time
        from pathlib import Path
        from evidence import lifecycle
        from checks import interrupts
        from overlay import run
        class Run:
            directory, environ = Path("."), os.environ
            log = Path("/dev/stdout")
        def command():
            child = [sys.executable, "-c", sys.argv[1]]
            with interrupts.unwinding(), lifecycle.started(Run, child):
                time.sleep(60)
        sys.exit(run("test", command))
        """,
        FAMILY,
    )
    family = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    assert len(family) == 3

    assert interrupt(process, number) == status

    _, alive = psutil.wait_procs(family, timeout=5)
    for member in alive:
        member.kill()
    assert alive == []


@pytest.fixture(scope="session")
def database():
    with postgresql.embedded(tcp=True) as database:
        yield database


@pytest.mark.parametrize("server", series.SERVERS, ids=lambda server: server.name)
def test_server_that_does_not_start(server, database, tmp_path):
    """As in an environment without anything."""
    if "Redis" in server.name or queues.REDIS in server.packages:
        there(serving.program, "redis-server", "redis-server")
    setup = trial.Setup(server.name, trial.POOL, trial.STOCK)
    python = Path(sys.executable)
    arguments = server, setup, python, tmp_path, database, time.monotonic() + 60
    result = trial.result(*arguments, lambda: None)
    assert "does not start" in result.reason
    assert result.figures == Figures()


def test_cases_that_are_not_as_they_are_said(monkeypatch):
    """As in an environment without anything."""
    there(serving.program, "redis-server", "redis-server")
    monkeypatch.setattr(
        series, "djangos", lambda version: ({"stock": 1, "fork": 1}, ())
    )
    monkeypatch.setattr(series, "interpreter", lambda packages: Path(sys.executable))
    those = [*unsafe.CASES, *packages.CASES, *hooks.CASES, *processes.CASES]
    reasons = cases.differences("unsafe", those, "6.1.3")
    runs = 2 * sum(len(case.connections) for case in those)
    assert len(reasons) == runs > 2 * len(those)
    assert "No module named 'django'" in reasons[0]


def test_each_case_has_its_function_and_each_recipe_its_case():
    app = ROOT / "evidence" / "app"
    for module in (unsafe, packages, hooks, processes):
        source = (app / f"{module.__name__.rpartition('.')[2]}.py").read_text()
        for case in module.CASES:
            assert f"\ndef {case.function}(" in source
    page = (ROOT / "docs" / "recipes.md").read_text()
    sources = "".join(path.read_text() for path in app.rglob("*.py"))
    recipes = [text for text in page.split("\n#")[1:] if "```python" in text]
    assert recipes
    for text in recipes:
        heading = text.splitlines()[0].lstrip("# ")
        assert f'follow("{heading}"' in sources


def test_cases_without_redis(monkeypatch, capsys):
    """The other cases are run, but in CI none may be missing."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(serving, "SYSTEM", ())
    monkeypatch.setattr(
        series, "djangos", lambda version: ({"stock": 1, "fork": 1}, ())
    )
    monkeypatch.setattr(series, "interpreter", lambda packages: Path(sys.executable))
    monkeypatch.delenv("CI", raising=False)
    assert len(cases.differences("unsafe", unsafe.CASES, "6.1.3")) == 2 * (
        len(unsafe.CASES) - 1
    )
    assert "Redis: not run: redis-server is not on this" in capsys.readouterr().err
    monkeypatch.setenv("CI", "true")
    with pytest.raises(OverlayError, match="apt install redis-server"):
        cases.differences("unsafe", unsafe.CASES, "6.1.3")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--check"],
        ["servers", "--check"],
        ["unsafe", "--html", "x"],
        ["storm", "--tls"],
        ["tables", "--json", "x"],
    ],
)
def test_options_that_are_not_for_it(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        command.main(arguments)
    assert exit.value.code == 2
    assert "is not for" in capsys.readouterr().err.splitlines()[-1]


def test_holders(database):
    """Both processes hold the session that one of them opened."""
    process = start(
        """
        import json, os, sys, time
        import psycopg
        connection = psycopg.connect(**json.loads(sys.argv[1]))
        child = os.fork()
        if child:
            print(connection.info.backend_pid, child, flush=True)
        time.sleep(60)
        """,
        json.dumps(postgresql.parameters(database)),
    )
    try:
        session, child = map(int, process.stdout.readline().split())
        held = sessions.holders(process, database)
        assert held == {process.pid: [session], child: [session]}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
