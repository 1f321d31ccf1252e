import json

import pytest

from evidence import (
    hooks,
    markdown,
    packages,
    processes,
    report,
    series,
    storm,
    tables,
    unsafe,
)
from evidence.tests.documents import (
    EXAMPLE,
    MANY,
    document,
    healthy,
    not_run,
    setup,
)
from overlay import OverlayError


def test_outcomes():
    lines = tables.outcomes(EXAMPLE).splitlines()
    table = [line for line in lines if line.startswith("|")]
    stock = "142 wrong, 8 failed, 6 hung of 400; 4 shared; parent 6 of 7"
    workaround = "71 wrong, 4 failed, 3 hung of 200; 2 shared; parent 6 of 7"
    fork = "200 right of 200; persistent not run: pip can't install it"
    assert table == [
        "| server | stock | stock + workaround | fork |",
        "| --- | --- | --- | --- |",
        f"| gunicorn sync | {stock} | {workaround} | {fork} |",
    ]
    text = " ".join(lines)
    assert EXAMPLE["sentence"] in text
    assert f"`{EXAMPLE['command']}` with Django 6.1.3" in text
    assert max(map(len, set(lines) - set(table))) <= markdown.COLUMNS


def test_queued():
    made = document(setup(), setup(server="RQ"))
    rows = [line for line in tables.queued(made).splitlines() if line[:4] == "| RQ"]
    assert rows == ["| RQ | " + tables.cell([setup()]) + " | not run | not run |"]
    assert "| RQ |" not in tables.outcomes(made)
    assert "| gunicorn sync |" not in tables.queued(made)


@pytest.mark.parametrize(
    "setups, cells",
    [
        ([healthy()], ["not run", "not run", "200 right of 200"]),
        ([healthy(workaround=None)], ["not run", "none", "200 right of 200"]),
        ([healthy(right=0, parent=None)], ["not run", "not run", "no answers"]),
        ([healthy(right=199)], ["not run", "not run", "199 right of 199"]),
        (
            [not_run(not_run="a|<b>\nc")],
            ["not run", "not run", "pool not run: a\\|&lt;b&gt; c"],
        ),
    ],
)
def test_cells(setups, cells):
    row = tables.outcomes(document(*setups)).splitlines()[4]
    assert row == f"| gunicorn sync | {' | '.join(cells)} |"


def test_some_outcomes():
    made = document(setup(), healthy(), healthy(server="granian"))
    lines = tables.some_outcomes(made).splitlines()
    assert lines[0] in tables.outcomes(made)
    assert [line for line in lines if line.startswith("| gran")] == []
    assert len([line for line in lines if line.startswith("| gunicorn sync |")]) == 1


def test_servers_in_readme_are_some_of_those_that_are_run():
    assert set(tables.SOME) < {server.name for server in series.SERVERS}


@pytest.fixture
def files(tmp_path):
    """A README with the markers, and the JSON for it."""
    page, figures = tmp_path / "README.md", tmp_path / "evidence.json"
    page.write_text(f"above\n\n{tables.BEGIN}\nold\n{tables.END}\n\nbelow\n")
    figures.write_text(json.dumps(EXAMPLE))
    return page, figures


def update(page, figures, check=False):
    tables.update({page: tables.outcomes}, figures, check)


def test_update(files):
    text = files[0].read_text()
    with pytest.raises(OverlayError, match="README.md is not that of .*evidence.json"):
        update(*files, check=True)
    assert files[0].read_text() == text

    update(*files)
    text = files[0].read_text()
    assert text.startswith(f"above\n\n{tables.BEGIN}\n\nAfter a fork")
    assert text.endswith(f"\n\n{tables.END}\n\nbelow\n")
    assert tables.outcomes(EXAMPLE) in text
    update(*files, check=True)
    update(*files)
    assert files[0].read_text() == text

    files[1].write_text(json.dumps(MANY))
    with pytest.raises(OverlayError, match="run python3 evidence tables"):
        update(*files, check=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        tables.BEGIN,
        tables.END,
        f"{tables.END}\n{tables.BEGIN}",
        f"{tables.BEGIN}\n{tables.END}\n{tables.BEGIN}",
        f"{tables.BEGIN}\n{tables.BEGIN}\n{tables.END}",
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_page_without_a_place(files, text, check):
    files[0].write_text(text)
    with pytest.raises(OverlayError, match="README.md has no place for the table"):
        update(*files, check=check)
    assert files[0].read_text() == text


@pytest.mark.parametrize("figures", ["", "[]", "{}", '{"setups": 1}', "null", "\xff"])
def test_figures_that_are_none(files, figures):
    before = files[0].read_text()
    files[1].write_text(figures, encoding="latin-1")
    with pytest.raises(OverlayError, match="evidence.json is not what a run writes"):
        update(*files)
    files[1].unlink()
    with pytest.raises(OverlayError, match="evidence.json is missing: run "):
        update(*files)
    assert files[0].read_text() == before


def test_sessions():
    made = document(
        setup(),
        healthy(),
        healthy(server="a control", expected="shown"),
        not_run(),
    )
    table = [line for line in tables.sessions(made).splitlines() if "|" in line]
    assert table == [
        "| server | connections | processes | answered | held | ms |",
        "| --- | --- | --: | --: | --: | --: |",
        "| gunicorn sync | pool | 8 | 4 | 6 | 1.3 |",
    ]


def test_unsafe():
    lines = tables.unsafe({}).splitlines()
    assert len(lines) == 2 + len(unsafe.CASES)
    assert lines[2] == (
        "| ask the database | its parent's session | a session of its own |"
    )


def test_processes():
    lines = tables.processes({}).splitlines()
    assert len(lines) == 2 + len(processes.CASES)


def test_packages():
    *lines, _, made = tables.packages({}).splitlines()[: 4 + len(packages.CASES)]
    assert lines[2].startswith("| django-tenants | its parent's session, in the ")
    assert len(lines) == 2 + len(packages.CASES)
    assert made.startswith("With django-tenants 4.0.1, ")


def test_hooks():
    lines = tables.hooks({}).splitlines()
    assert len(lines) == 2 + len(hooks.HOOKS)
    assert len(hooks.CASES) == 2 * len(hooks.HOOKS) - 1
    assert lines[10] == (
        "| `connection.pool.close()` |  | its parent's session | a session of its own |"
    )


def stormed(forks, command="python3 evidence storm"):
    """Return what a storm writes, as it is read again."""
    one = storm.Outcome(forks=forks, queries=50, ended=forks, rows=9)
    two = one._replace(errors={"x": 2, "y": 1}, versions={"Django": "6.1.3"}, log="!")
    outcomes = {("pool", "fork"): two, ("persistent", "fork"): one}
    machine = {"cores": 2, "CPU": "small"}
    wanted = storm.Storm(forks=forks, threads=2)
    text = report.text(storm.document(wanted, outcomes, machine, command))
    assert "!" not in text
    return json.loads(text)


def test_storms(tmp_path):
    lines = tables.storms([stormed(6), stormed(70, "python3 -x")]).splitlines()
    assert lines[0].startswith("| run | connections | forks | threads | at once |")
    assert lines[2:6] == [
        "| 1 | pool | 70 | 2 | 8 | 50 | 9 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 3 |",
        "| 1 | persistent | 70 | 2 | 8 | 50 | 9 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |",
        "| 2 | pool | 6 | 2 | 8 | 50 | 9 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 3 |",
        "| 2 | persistent | 6 | 2 | 8 | 50 | 9 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |",
    ]
    assert lines[-2:] == [
        "1. `python3 -x` with Django 6.1.3; 2 cores, small",
        "2. `python3 evidence storm` with Django 6.1.3; 2 cores, small",
    ]


def test_figures_in_a_directory(files, tmp_path):
    page, _ = files
    directory = tmp_path / "storms"
    directory.mkdir()
    for forks in (6, 70):
        (directory / f"{forks}.json").write_text(json.dumps(stormed(forks)))
    tables.update({page: tables.storms}, directory)
    assert page.read_text().count("| persistent | 70 |") == 1
    (directory / "6.json").write_text("{}")
    with pytest.raises(OverlayError, match="storms is not what a run writes"):
        tables.update({page: tables.storms}, directory)


def test_pages_are_written_all_or_none(files, tmp_path):
    page, figures = files
    other = tmp_path / "other.md"
    other.write_text("no place")
    before = page.read_text()
    with pytest.raises(OverlayError, match="other.md has no place"):
        tables.update({page: tables.outcomes, other: tables.unsafe}, figures)
    assert page.read_text() == before
