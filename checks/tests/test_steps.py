"""The check of forks at each step of a pool's life."""

import pytest

from checks import steps
from overlay import environment


@pytest.fixture(autouse=True)
def bootstrap(monkeypatch):
    monkeypatch.setattr(environment, "bootstrap", lambda *arguments: None)


def test_fork(capsys):
    assert steps.main(["--kill", "90"]) == 0
    out = capsys.readouterr().out
    assert " steps of psycopg_pool, 0 wrong.\n" in out
    assert " of them with a killed parent, 0 wrong.\n" in out


def test_stock(capsys):
    assert steps.main(["--stock"]) == 1
    assert "20 are enough" in capsys.readouterr().out


@pytest.mark.parametrize(
    "lines, said",
    [
        (["opening: pool.py:1: fails"], "opening: pool.py:1: fails"),
        (["opening: pool.py:1: ok", "parent: an error"], "parent: an error"),
    ],
)
def test_what_is_wrong_is_said(monkeypatch, capsys, lines, said):
    monkeypatch.setattr(steps, "_run", lambda *arguments: lines)
    assert steps.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == said


def test_parent_that_does_not_come_to_its_end(monkeypatch, capsys):
    lines = [f"opening: pool.py:{number}: ok" for number in range(steps.FEWEST)]
    monkeypatch.setattr(steps, "_run", lambda *arguments: lines)
    assert steps.main([]) == 1
    assert "The parent did not come to its end" in capsys.readouterr().err
    lines.append("parent: ok")
    assert steps.main([]) == 0


def test_steps_that_are_missing(monkeypatch, capsys):
    monkeypatch.setattr(steps, "_run", lambda *arguments: ["opening: pool.py:1: ok"])
    assert steps.main([]) == 1
    assert "A pool's life has 1 steps" in capsys.readouterr().err
