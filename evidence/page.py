"""The report as one HTML file, which loads nothing else."""

from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evidence import report, tables
from evidence.count import Figures
from evidence.servers import SHOWN
from evidence.trial import FORK, STOCK, TOKENS, WORKAROUND

# The columns in which any number but 0 is what should not be.
BAD = ("wrong", "failed", "hung", "shared")

# What can become of a request; a process that hangs asks no more.
OUTCOMES = Figures._fields[:4]
UNASKED = "never asked"

# What evidence.app.workaround does in the child, by how connections are kept.
IN_CHILD = {
    "pool": 'type(connections["default"])._connection_pools.clear()',
    "persistent": "connections.close_all()",
}
# What is not code that runs in the child.
OPTIONS = {"lazy-apps": "lazy-apps = true"}


class Bar(NamedTuple):
    """The requests to a server with one Django, by outcome, and in words."""

    django: str
    numbers: dict[str, int]
    text: str


class Session(NamedTuple):
    """
    A session of the database server: the processes that held it before the
    fork and at the end of the load, and whether several did at once.
    """

    name: str
    before: list[str]
    after: list[str]
    shared: bool


def page(document, measures=None):
    """
    Return the HTML of `document`, which is as report.document() makes it, with
    charts of the `measures`, dicts of numbers by what they are of, if any.
    """
    environment = Environment(
        autoescape=True,
        lstrip_blocks=True,
        trim_blocks=True,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
    )
    setups = document["setups"]
    rows = [setup | {"row": row} for setup, row in zip(setups, report.rows(document))]
    servers = _grouped(rows, "server")
    return environment.get_template("page.html.j2").render(
        document=document,
        header=report.HEADER,
        servers=servers,
        bad=_bad,
        code=_code,
        outcomes=(*OUTCOMES, UNASKED),
        totals=_totals(servers),
        bars={server: _bars(those) for server, those in servers.items()},
        sessions=_held(servers),
        unsafe=SHOWN,
        measures=measures or {},
    )


def _grouped(setups, name):
    """Return lists of `setups` by what each of them has as `name`."""
    groups = {}
    for setup in setups:
        groups.setdefault(setup[name], []).append(setup)
    return groups


def _bad(name, setup):
    """Return whether something is wrong with the figure `name` of `setup`."""
    if name == "parent":
        return any((setup["parent"] or {}).get(column) for column in BAD)
    return name in BAD and setup[name] > 0


def _code(workaround):
    """Return the code of a workaround, by how connections are kept."""
    return {"": OPTIONS[workaround]} if workaround in OPTIONS else IN_CHILD


def _totals(servers):
    """
    Return for each Django how many requests got the data of another one, and
    of how many, on the `servers` that count.
    """
    counted = [
        setup
        for setups in servers.values()
        for setup in setups
        if setup["expected"] != SHOWN and not setup["not_run"]
    ]
    return {
        django: (
            sum(setup["wrong"] for setup in those),
            sum(setup[name] for setup in those for name in OUTCOMES),
        )
        for django in (STOCK, WORKAROUND, FORK)
        if (those := [setup for setup in counted if setup["django"] == django])
    }


def _bars(setups):
    """Return the Bars of `setups`, which are of one server."""
    bars = []
    for django, those in _grouped(setups, "django").items():
        run = [setup for setup in those if not setup["not_run"]]
        numbers = {name: sum(setup[name] for setup in run) for name in OUTCOMES}
        asked = sum(numbers.values())
        numbers[UNASKED] = max(0, len(run) * TOKENS - asked)
        bars.append(Bar(django, numbers, tables.cell(those)))
    return bars


def _held(servers):
    """
    Return the Sessions on stock and on the fork, where they were seen, for
    each server, by how it keeps connections and its Django.
    """
    return {
        server: seen
        for server, setups in servers.items()
        if (
            seen := {
                f"{setup['connections']}, {setup['django']}": sessions
                for setup in setups
                if setup["django"] in (STOCK, FORK)
                if (sessions := _sessions(setup["held"]))
            }
        )
    }


def _sessions(held):
    """Return the Sessions of what is `held`, of a document."""
    columns = [*held, {}, {}][:2]
    return [
        Session(str(session), *users, shared=any(len(those) > 1 for those in users))
        for session in dict.fromkeys(
            session
            for column in columns
            for those in column.values()
            for session in those
        )
        if (
            users := [
                [process for process, those in column.items() if session in those]
                for column in columns
            ]
        )
    ]
