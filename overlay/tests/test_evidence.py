import contextlib
import http.server
import itertools
import json
import os
import signal
import socket
import sys
import threading
import time

import psutil
import pytest

import evidence.__main__ as command
from evidence import facts, load, report, setups
from evidence.count import HUNG, Answer, Figures, count, outcome
from overlay import environment
from overlay.errors import OverlayError
from overlay.servers import postgresql
from overlay.tests.test_processes import FAMILY, interrupt, start

VERSIONS = {"Django": "6.1.3", "fork": "6.1.3+fork.1"}
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


BEHAVIOURS = ["right", "wrong", "right", "hung", "status", "closed"]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each request in another one of the ways."""

    def do_GET(self):
        token = self.path[1:]
        behaviour = self.server.behaviours[token] = next(self.server.next_behaviour)
        if behaviour == "closed":
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
    answers = list(load.requests(server.server_address, 24, time.monotonic() + 60))
    assert len({answer.asked for answer in answers}) == 24
    for answer in answers:
        behaviour = server.behaviours[answer.asked]
        expected = {"status": "failed", "closed": "failed"}.get(behaviour, behaviour)
        assert outcome(answer) == expected
    assert count(answers) == Figures(right=8, wrong=4, failed=8, hung=4)


def test_requests_end_at_the_deadline(server):
    assert list(load.requests(server.server_address, 50, time.monotonic() - 1)) == []
    assert server.behaviours == {}


def test_requests_to_a_dead_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    answers = list(load.requests(address, 3, time.monotonic() + 5))
    assert count(answers) == Figures(failed=3)


@contextlib.contextmanager
def pipe(*lines, end):
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb") as other:
        other.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        other.flush()
        if end:
            other.close()
        yield file


ASKED = [{"asked": token} for token in "abc"]
ANSWERED = [answer(token)._asdict() for token in "abc"]
FAILED = {"asked": "c", "error": "OperationalError"}


@pytest.mark.parametrize(
    "lines, end, figures",
    [
        ([*ASKED, *ANSWERED], True, Figures(right=3)),
        ([*ASKED, *ANSWERED[:2], FAILED], True, Figures(right=2, failed=1)),
        # Silence, with a token unanswered, or although none is.
        ([*ASKED, *ANSWERED[:2]], False, Figures(right=2, hung=1)),
        ([*ASKED, *ANSWERED], False, Figures(right=3, hung=1)),
        # The process is gone, and its answer with it.
        ([*ASKED, *ANSWERED[:1]], True, Figures(right=1, failed=2)),
    ],
)
def test_lines(lines, end, figures, monkeypatch):
    monkeypatch.setattr(load, "PATIENCE", 0.2)
    with pipe(*lines, end=end) as file:
        answers = list(load.lines(file, time.monotonic() + 30))
    assert count(answers) == figures


def test_lines_end_at_the_deadline():
    with pipe(*ASKED, end=True) as file:
        answers = list(load.lines(file, time.monotonic() - 1))
    assert count(answers) == Figures(hung=1)


def results(**changes):
    """Return results that prove the fork, but for the figures in `changes`."""
    figures = {
        "stock": Figures(right=100, wrong=290, hung=4, shared=4),
        "workaround": Figures(right=390, wrong=10),
        "fork": Figures(right=setups.TOKENS),
        **changes,
    }
    return [
        setups.Result(setup, figures[setup.django.split()[-1]], 4, [], 1.5)
        for setup in setups.SETUPS
    ]


def test_results_that_prove_it():
    assert report.doubts(results()) == []
    said = report.sentence(results(), VERSIONS)
    assert "6.1.3 gave 580 of 788 requests" in said
    assert "20 of 800" in said
    assert "all 800 rightly" in said


@pytest.mark.parametrize(
    "changes",
    [
        {"stock": Figures(right=400)},
        {"stock": Figures(right=390, failed=10)},
        {"fork": Figures(right=399, wrong=1)},
        {"fork": Figures(right=399, failed=1)},
        {"fork": Figures(right=400, hung=1)},
        {"fork": Figures(right=400, shared=1)},
        # Cut short.
        {"fork": Figures(right=399)},
        {"fork": Figures()},
    ],
)
def test_results_that_prove_nothing(changes):
    assert len(report.doubts(results(**changes))) == len(setups.SERVERS)
    assert "does not show" in report.sentence(results(**changes), VERSIONS)


def test_results_that_are_missing():
    assert len(report.doubts(results()[:-1])) == 1


def test_results_of_one_process():
    alone = [result._replace(processes=1) for result in results()]
    assert len(report.doubts(alone)) == len(setups.SERVERS)


def test_markdown():
    lines = report.markdown(results()).splitlines()
    assert len(lines) == 2 + len(setups.SETUPS)
    assert lines[0] == "| server | Django | right | wrong | failed | hung | shared |"
    assert lines[2] == "| gunicorn --preload | stock | 100 | 290 | 0 | 4 | 4 |"
    assert {line.count("|") for line in lines} == {8}


def test_no_set_up_starts_after_the_deadline():
    assert command._results(None, None, {}, time.monotonic() - 1) == []


@pytest.fixture
def run(monkeypatch):
    """Run the command with the given results in place of measured ones."""

    def run(results, *arguments):
        monkeypatch.setattr(command, "_results", lambda *arguments: results)
        return command.main(arguments)

    monkeypatch.setattr(environment, "bootstrap", lambda name, requirements: None)
    monkeypatch.setattr(command, "_pythons", lambda version: (None, None))
    monkeypatch.setattr(facts, "versions", lambda *arguments: VERSIONS)
    monkeypatch.setattr(facts, "machine", lambda: MACHINE)
    monkeypatch.setattr(postgresql, "embedded", contextlib.nullcontext)
    return run


def test_status(run, capsys):
    assert run(results()) == 0
    assert "gave 580 of 788" in capsys.readouterr().out
    assert run(results(fork=Figures(right=399, wrong=1)), "--markdown") == 1
    assert "| multiprocessing | fork | 399 | 1 | 0 | 0 | 0 |" in capsys.readouterr().out
    assert run(results(stock=Figures(right=400))) == 1


def test_json(run, tmp_path):
    file = tmp_path / "figures.json"
    assert run(results(), "--json", str(file)) == 0
    document = json.loads(file.read_text())
    assert document["proven"] is True
    assert document["versions"] == VERSIONS
    assert document["machine"] == MACHINE
    assert document["setups"][0] == {
        "server": "gunicorn --preload",
        "django": "stock",
        **Figures(right=100, wrong=290, hung=4, shared=4)._asdict(),
        "processes": 4,
        "errors": [],
        "seconds": 1.5,
    }
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("file", ["missing/figures.json", "."])
def test_json_that_cannot_be_written(run, tmp_path, file, capsys, monkeypatch):
    # It is said before anything runs.
    monkeypatch.setattr(command, "_pythons", None)
    assert run(results(), "--json", str(tmp_path / file)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"evidence: error: {(tmp_path / file).resolve()} ")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_json_leaves_the_old_one(tmp_path):
    file = tmp_path / "figures.json"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), report.replacing(file) as new:
        new.write("half of")
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_signal_ends_what_was_started(number, status):
    process = start(
        """
        import sys, time
        from evidence import setups
        from overlay import console, processes
        def command():
            child = [sys.executable, "-c", sys.argv[1]]
            with processes.unwinding(), setups._started(child):
                time.sleep(60)
        sys.exit(console.run("test", command))
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


@pytest.mark.parametrize("setup", setups.SETUPS, ids=" ".join)
def test_set_up_that_does_not_start(setup):
    """As in an environment without Django."""
    with pytest.raises(OverlayError, match="does not start .*No module named"):
        setups.run(setup, sys.executable, {}, time.monotonic() + 30, lambda: None)
