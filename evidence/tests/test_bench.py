import json

import pytest

from evidence import bench, costs, report
from evidence.trial import FORK, STOCK
from overlay import OverlayError

PATH = "django/db/backends/postgresql/base.py"


def fork(variant, inherited, number, faults, microseconds=1000):
    return {
        "variant": variant,
        "inherited": inherited,
        "number": number,
        "faults": faults,
        "microseconds": microseconds,
    }


def document(calls=1.004, none=12, each=4):
    """Return what a run gives in which the fork costs that much more."""
    numbers = [("none", 0)]
    numbers += [(kind, number) for kind in bench.KINDS for number in (1, 100)]
    forks = [fork(STOCK, kind, number, 200) for kind, number in numbers]
    forks += [
        fork(FORK, kind, number, 200 + none + each * number) for kind, number in numbers
    ]
    return {
        "command": "python3 evidence bench",
        "versions": {"Django": "6.1.3"},
        "machine": {"cores": 2, "CPU": "small"},
        "calls": {
            name: {STOCK: 10_000, FORK: 10_000 * calls, "getpid": 10_300}
            for name in costs.SHORT_CALLS
        },
        "forks": forks,
        "times": {
            name: (
                {STOCK: 2000, FORK: 2100} if time.function != "child" else {FORK: 2205}
            )
            for name, time in bench.TIMES.items()
        },
    }


def test_faults():
    assert bench.more_faults(document(), bench.NONE, 0) == 12
    assert bench.more_faults(document(), "idle", 1) == 16
    assert bench.faults_of_each(document(), "idle") == pytest.approx(4)


@pytest.mark.parametrize(
    "costing, reasons",
    [
        ({}, []),
        (
            {"calls": 1.03},
            [f"{name}: 1.030 of stock's" for name in costs.SHORT_CALLS],
        ),
        ({"none": 43}, ["a fork without connections: 43 page faults more, not 30"]),
        (
            {"each": 7},
            [f"each connection, {kind}: 7.0 page faults more" for kind in bench.KINDS],
        ),
    ],
)
def test_what_costs_more_than_it_may(costing, reasons):
    found = bench.beyond(document(**costing))
    assert [line[: len(reason)] for line, reason in zip(found, reasons)] == reasons
    assert len(found) == len(reasons)


def test_tables():
    lines = costs.whole(json.loads(report.text(document()))).splitlines()
    assert lines[2] == "| connection.pool | 10,000 | 1.004 | 1.030 |"
    assert lines[7] == "| no connections | 200 | 212 | 1000 | 1000 |"
    assert lines[9] == "| 100 connections, persistent | 200 | 612 | 1000 | 1000 |"
    assert lines[17] == (
        "| a fork without connections | 2,000 | 2,100 | 1.05 of stock's |"
    )
    assert lines[19].endswith(
        " |  | 2,205 | 1.05 of that of one whose parent had none |"
    )
    assert lines[-1].startswith("Printed by `python3 evidence bench` with Django 6.1.3")


def test_short_table():
    lines = costs.short(document()).splitlines()
    assert lines[2] == "| instructions of connection.pool | 1.004 of stock's |"
    assert lines[4] == "| a fork without connections | 12 page faults more |"
    assert lines[5] == (
        "| a fork with connections, checked out "
        "| 16 page faults more, and 4.0 with each after the first |"
    )
    assert lines[6] == "| the time of a fork without connections | 1.05 of stock's |"
    assert lines[7].endswith("| 1.05 of that of one whose parent had none |")


def test_without_valgrind(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CI", raising=False)
    assert bench._calls(None, bench.OURS, True) == {}
    assert "there is no valgrind: install it" in capsys.readouterr().err
    monkeypatch.setenv("CI", "true")
    with pytest.raises(OverlayError, match="there is no valgrind: install it"):
        bench._calls(None, bench.OURS, True)


def test_process_that_fails(tmp_path):
    made = bench.Made("/bin/false", tmp_path, tmp_path, {})
    with pytest.raises(OverlayError, match="app.calls failed with 1"):
        bench._run(made, tmp_path, "pool", "app.calls")
