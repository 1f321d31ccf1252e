"""The report as one HTML file, which loads nothing else."""

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evidence import charts, report
from evidence.setups import FORK, STOCK

# The columns in which any number but 0 is what should not be.
BAD = ("wrong", "failed", "hung", "shared")


def page(document):
    """
    Return the HTML of `document`, which is as report.document() makes it.
    """
    environment = Environment(
        autoescape=True,
        lstrip_blocks=True,
        trim_blocks=True,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
    )
    environment.filters["url"] = _url
    setups = document["setups"]
    return environment.get_template("page.html.j2").render(
        document=document,
        header=report.HEADER,
        servers=_grouped(
            [setup | {"row": row} for setup, row in zip(setups, report.rows(document))],
            "server",
        ),
        bad=_bad,
        bars={
            connections: charts.bars(those)
            for connections, those in _grouped(setups, "connections").items()
        },
        pairs=_pairs(setups),
        themes={"light": charts.LIGHT._asdict(), "dark": charts.DARK._asdict()},
    )


def _url(svg):
    """Return the URL of an image that is all in it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


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


def _pairs(setups):
    """
    Return the Charts of who held which session on stock and on the fork, where
    that was seen, for each server and how it keeps connections.
    """
    return {
        f"{server}, {connections}": [
            (setup, charts.holders(setup["held"])) for setup in seen
        ]
        for server, of_server in _grouped(setups, "server").items()
        for connections, those in _grouped(of_server, "connections").items()
        if (
            seen := [
                setup
                for setup in those
                if setup["django"] in (STOCK, FORK) and any(setup["held"])
            ]
        )
    }
