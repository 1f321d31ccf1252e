"""The check of what Hypothesis makes up."""

import pytest

from checks import machine
from overlay import ROOT, environment


@pytest.fixture(autouse=True)
def bootstrap(monkeypatch):
    monkeypatch.setattr(environment, "bootstrap", lambda *arguments: None)


def test_fork(capsys):
    assert machine.main(["--examples", "200"]) == 0
    assert not (ROOT / ".hypothesis").exists()
    out = capsys.readouterr().out
    for kind in machine.KINDS:
        assert f"{kind}: 66 examples are as the model says." in out


def test_stock(capsys):
    arguments = ["--stock", "--only", "persistent", "--examples", "200"]
    assert machine.main(arguments) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("machine: error: persistent: not as the model says, with ")
    assert "processes_0 = state.begin()" in line


def test_bad_input(capsys):
    with pytest.raises(SystemExit) as exit:
        machine.main(["--examples", "0"])
    assert exit.value.code == 2
    assert "'0' is not a number from 1 to" in capsys.readouterr().err
