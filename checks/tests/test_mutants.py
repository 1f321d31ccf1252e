"""What the check of lines without a test changes, and what it says."""

import pytest

from checks import mutants

SOURCE = """\
def function(a, b):
    if a and b:
        return [c for c in b if c]
    a.call(
        b
    )
    return 1 if a else 2
"""


def test_mutants():
    found = mutants.mutants(SOURCE, {2, 4})
    assert {what: text.splitlines()[1:4] for what, text in found.items()} == {
        "a and b -> True": ["    if True:", *SOURCE.splitlines()[2:4]],
        "a and b -> False": ["    if False:", *SOURCE.splitlines()[2:4]],
        "a -> True": ["    if True and b:", *SOURCE.splitlines()[2:4]],
        "b -> True": ["    if a and True:", *SOURCE.splitlines()[2:4]],
        "a.call( b ) -> pass": [*SOURCE.splitlines()[1:3], "    pass"],
    }


def test_conditions_within_lines():
    assert {*mutants.mutants(SOURCE, {3, 7})} == {
        "return [c for c in b if c] -> pass",
        "c -> True",
        "c -> False",
        "return 1 if a else 2 -> pass",
        "a -> True",
        "a -> False",
    }


def test_mutants_of_the_same_text():
    found = mutants.mutants("f()\nf()\n", {1, 2})
    assert found == {"f() -> pass": "pass\nf()\n", "f() -> pass (2)": "f()\npass\n"}


@pytest.fixture
def check(monkeypatch, tmp_path):
    """Run the check where `survivors` pass, of which one is known."""
    path = "django/db/transaction.py"
    monkeypatch.setattr(mutants.environment, "bootstrap", lambda *arguments: None)
    monkeypatch.setattr(mutants, "LIST", tmp_path / "mutants.toml")
    mutants.LIST.write_text(f'["{path}"]\n"f() -> pass" = "it does no harm"\n')
    changed = {"f() -> pass": "f()", "g() -> pass": "g()"}
    monkeypatch.setattr(mutants, "mutants", lambda *arguments: changed)

    def check(*survivors, unchanged=True):
        def passes(tree):
            text = (tree / path).read_text()
            return text in survivors if text in changed.values() else unchanged

        monkeypatch.setattr(mutants, "_passes", passes)
        return mutants.console.run("mutants", mutants._check, [path])

    return check


def test_what_survives(check, capsys):
    assert check("f()") == 0
    out = capsys.readouterr().out
    assert "1 of 2: f() -> pass: survives (it does no harm)\n" in out
    assert "2 of 2: g() -> pass: killed\n" in out


@pytest.mark.parametrize(
    "survivors, line",
    [
        ([], "WRONG: django/db/transaction.py: f() -> pass: killed"),
        (["f()", "g()"], "WRONG: django/db/transaction.py: g() -> pass: survives"),
    ],
)
def test_what_is_not_as_it_is_known(check, capsys, survivors, line):
    assert check(*survivors) == 1
    assert line in capsys.readouterr().out


def test_tests_that_fail_without_a_change(check, capsys):
    assert check("f()", unchanged=False) == 1
    assert "The fork's tests fail without a change" in capsys.readouterr().err
