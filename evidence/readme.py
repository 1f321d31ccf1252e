"""The README's table, from the figures that are committed."""

import html
import json
import os
import textwrap
from pathlib import Path

from evidence import report
from evidence.count import Figures
from evidence.setups import FORK, STOCK, WORKAROUND
from overlay import ROOT
from overlay.errors import OverlayError

DJANGOS = (STOCK, WORKAROUND, FORK)
OUTCOMES = Figures._fields[:4]

# Of the Markdown's lines, in characters.
COLUMNS = 120

README, FIGURES = ROOT / "README.md", ROOT / "docs" / "evidence.json"

BEGIN, END = "<!-- evidence: begin -->", "<!-- evidence: end -->"

LEGEND = (
    "With a pool and with persistent connections, together. *wrong*: another request's "
    "data. *failed*: an error. *hung*: no answer in time; a process that waits for one "
    "asks no more. *shared*: sessions of the database server that several processes "
    "used. *parent*: how many of the parent's own queries were right once the workers "
    "had come and gone, where some weren't. *workaround*: what projects do on stock "
    "Django."
)

COMMAND = "python3 evidence servers --json docs/evidence.json"


def update(readme=README, figures=FIGURES, check=False):
    """
    Put the table of `figures`, a file with the JSON of a run, between the two
    markers in the file `readme`; with `check`, only see whether it's there.

    Raise OverlayError if it isn't, or where it can't be put.
    """
    readme, figures = Path(readme), Path(figures)
    names = [os.path.relpath(path) for path in (readme, figures)]
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end or text.count(BEGIN) + text.count(END) != 2:
        raise OverlayError(
            f"{names[0]} has no place for the table: write {BEGIN} and {END} where it "
            "belongs, once and in that order."
        )
    try:
        rendered = render(json.loads(figures.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise OverlayError(f"{names[1]} is missing: run {COMMAND}.") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise OverlayError(
            f"{names[1]} is not what a run writes: run {COMMAND}."
        ) from None
    new = f"{before}{BEGIN}\n\n{rendered}\n\n{END}{after}"
    if check and new != text:
        raise OverlayError(
            f"The table in {names[0]} is not that of {names[1]}: run python3 evidence "
            "readme, and commit both."
        )
    if new != text:
        with report.replacing(readme) as file:
            file.write(new)


def render(document):
    """Return the Markdown of `document`, as report.document() makes it."""
    setups = document["setups"]
    lines = [("server", *DJANGOS), ["---"] * (1 + len(DJANGOS))]
    for server in dict.fromkeys(setup["server"] for setup in setups):
        of_server = [setup for setup in setups if setup["server"] == server]
        row = [server]
        for django in DJANGOS:
            those = [setup for setup in of_server if setup["django"] == django]
            if django == WORKAROUND and not of_server[0]["workaround"]:
                row.append("none")
            else:
                row.append(_cell(those) if those else "not run")
        lines.append(row)
    made = report.title(document["versions"], document["machine"])
    return "\n\n".join(
        [
            _filled(document["sentence"]),
            "\n".join(f"| {' | '.join(map(_text, line))} |" for line in lines),
            textwrap.fill(LEGEND, COLUMNS),
            _filled(f"Printed by `{document['command']}` with {made}."),
        ]
    )


def _cell(setups):
    """Return what came of `setups`, of the same server and Django."""
    run = [setup for setup in setups if not setup["not_run"]]
    parts = [_outcome(run)] if run else []
    parts += [
        f"{setup['connections']} not run: {setup['not_run']}"
        for setup in setups
        if setup["not_run"]
    ]
    return "; ".join(parts)


def _outcome(setups):
    """Return in words what the figures of `setups` add up to."""

    def total(name, figures=setups):
        return sum(setup[name] for setup in figures)

    asked = sum(map(total, OUTCOMES))
    if not asked:
        return "no answers"
    bad = [f"{total(name)} {name}" for name in OUTCOMES[1:] if total(name)]
    parts = [f"{', '.join(bad) or f'{asked} right'} of {asked}"]
    if shared := total("shared"):
        parts.append(f"{shared} shared")
    parents = [setup["parent"] for setup in setups if setup["parent"]]
    queries = sum(total(name, parents) for name in OUTCOMES)
    if (right := total("right", parents)) < queries:
        parts.append(f"parent {right} of {queries}")
    return "; ".join(parts)


def _filled(text):
    return textwrap.fill(_text(text), COLUMNS, break_on_hyphens=False)


def _text(text):
    """Return `text`, on one line and with nothing that is Markdown's own."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")
