"""The tables of README and docs, from the figures that are committed."""

import json
import os
import textwrap
from itertools import chain
from pathlib import Path

from evidence import cases, costs, files, gains
from evidence import hooks as called
from evidence import markdown
from evidence import packages as around
from evidence import processes as started
from evidence import report
from evidence import unsafe as still
from evidence.count import Figures
from evidence.servers import SHOWN, queues
from evidence.trial import FORK, PERSISTENT, POOL, STOCK, WORKAROUND
from overlay import ROOT, OverlayError

DJANGOS = (STOCK, WORKAROUND, FORK)
OUTCOMES = Figures._fields[:4]

# The servers in README.
SOME = (
    "gunicorn sync",
    "gunicorn asgi",
    "uWSGI",
    "Celery without its fixup",
    "multiprocessing",
)

# Which have a page of their own.
QUEUES = {server.name for server in queues.SERVERS}

# Of a table of cases.
CHILD = ("In a child, to", *cases.DJANGOS)

FIGURES = ROOT / "docs" / "evidence.json"

BEGIN, END = "<!-- evidence: begin -->", "<!-- evidence: end -->"

LEGEND = "With a pool and with persistent connections, together. " + report.legend(
    "wrong", "failed", "hung", "shared", "parent", "workaround", mark="*"
)

COMMAND = "python3 evidence servers, storm, bench, or gains, --json"


def update(pages, figures, check=False, marker="evidence"):
    """
    Put each table between the two markers in its page: `pages` has functions
    that return the Markdown, given the document in the file `figures`, or a
    list of those in the directory `figures`, by the path of the page. With
    `check`, only see whether the tables are there.

    Raise OverlayError if they aren't, or where they can't be put.
    """
    document = _documents(Path(figures))
    texts = {path: path.read_text(encoding="utf-8") for path in pages}
    new = {
        path: _with_table(path, text, _rendered(pages[path], document, figures), marker)
        for path, text in texts.items()
    }
    for path, text in texts.items():
        if check and new[path] != text:
            raise OverlayError(
                f"The table in {os.path.relpath(path)} is not that of "
                f"{os.path.relpath(figures)}: run python3 evidence tables, and commit "
                "both."
            )
        if new[path] != text:
            with files.replacing(path) as beside:
                beside.write_text(new[path], encoding="utf-8")


def measures():
    """
    Return the charts of what is kept in docs, by title. Raise OverlayError
    where it isn't what a run writes.
    """
    found = {}
    for name, charts in (("gains", gains.measures), ("bench", costs.measures)):
        figures = ROOT / "docs" / f"{name}.json"
        found |= _rendered(charts, _document(figures), figures)
    return found


def _documents(figures):
    if figures.is_dir():
        return [_document(path) for path in sorted(figures.glob("*.json"))]
    return _document(figures)


def _document(figures):
    try:
        return json.loads(figures.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OverlayError(
            f"{os.path.relpath(figures)} is missing: run {COMMAND} with it."
        ) from None
    except ValueError:
        raise _unreadable(figures) from None


def _rendered(render, document, figures):
    try:
        return render(document)
    except (LookupError, TypeError, AttributeError):
        raise _unreadable(figures) from None


def _unreadable(figures):
    return OverlayError(
        f"{os.path.relpath(figures)} is not what a run writes: run {COMMAND} with it."
    )


def _with_table(path, text, table, marker):
    """Return `text`, which is that of the page `path`, with `table` in it."""
    begin, end = (each.replace("evidence", marker) for each in (BEGIN, END))
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found or text.count(begin) + text.count(end) != 2:
        raise OverlayError(
            f"{os.path.relpath(path)} has no place for the table: write {begin} and "
            f"{end} where it belongs, once and in that order."
        )
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def outcomes(document):
    """
    Return what became of the requests on each server but the task queues, as
    Markdown. `document` is as report.document() makes it.
    """
    names = [name for name in _servers(document) if name not in QUEUES]
    table = _outcomes(document["setups"], names)
    legend = textwrap.fill(LEGEND, markdown.COLUMNS)
    return "\n\n".join(
        [
            markdown.filled(document["sentence"]),
            table,
            legend,
            report.printed(document),
        ]
    )


def queued(document):
    """Like outcomes(), but return those of the task queues."""
    names = [name for name in _servers(document) if name in QUEUES]
    table = _outcomes(document["setups"], names)
    return "\n\n".join(
        [table, textwrap.fill(LEGEND, markdown.COLUMNS), report.printed(document)]
    )


def _servers(document):
    return list(dict.fromkeys(setup["server"] for setup in document["setups"]))


def some_outcomes(document):
    """Like outcomes(), but return those of SOME servers, in short."""
    names = [name for name in _servers(document) if name in SOME]
    table = _outcomes(document["setups"], names)
    return f"{markdown.filled(document['sentence'])}\n\n{table}"


def _outcomes(setups, servers):
    lines = []
    for server in servers:
        of_server = [setup for setup in setups if setup["server"] == server]
        row = [server]
        for django in DJANGOS:
            those = [setup for setup in of_server if setup["django"] == django]
            if django == WORKAROUND and not of_server[0]["workaround"]:
                row.append("none")
            else:
                row.append(cell(those) if those else "not run")
        lines.append(row)
    return markdown.table(("server", *DJANGOS), lines)


def sessions(document):
    """
    Return how many sessions the fork's processes opened on each server, as
    Markdown. `document` is as report.document() makes it.
    """
    lines = [
        (
            setup["server"],
            setup["connections"],
            str(setup["processes"]),
            str(setup["sessions"]),
            str(len(set(chain(*setup["held"][-1].values())))),
            f"{setup['ms']:.1f}",
        )
        for setup in document["setups"]
        if setup["django"] == FORK and setup["expected"] != SHOWN
        if not setup["not_run"] and setup["ms"] is not None and setup["held"]
    ]
    header = ("server", "connections", "processes", "answered", "held", "ms")
    return "\n\n".join(
        [markdown.table(header, lines, right=4), report.printed(document)]
    )


def unsafe(document):
    """Return what evidence.unsafe has run, as Markdown."""
    return markdown.table(CHILD, cases.rows(still.CASES))


def packages(document):
    """Return what evidence.packages has run, and in which versions."""
    names = chain(*(case.packages for case in around.CASES))
    versions = ", ".join(name.replace("==", " ") for name in dict.fromkeys(names))
    return "\n\n".join(
        [
            markdown.table(("package", *cases.DJANGOS), cases.rows(around.CASES)),
            markdown.filled(f"With {versions}."),
        ]
    )


def hooks(document):
    """Return what evidence.hooks has run, as Markdown."""
    header = ("in the child", f"stock, {PERSISTENT}", f"stock, {POOL}", "fork")
    lines = [
        (f"`{code}`", *(stock or "" for stock in stocks), cases.OWN)
        for _, code, *stocks in called.HOOKS
    ]
    return markdown.table(header, lines)


def processes(document):
    """Return what evidence.processes has run, as Markdown."""
    return markdown.table(CHILD, cases.rows(started.CASES))


def storms(documents):
    """
    Return what came of storms of forks, the longest first, as Markdown. Each
    of `documents` is as storm.document() makes it.
    """
    documents = sorted(
        documents,
        key=lambda document: (-document["setups"][0]["forks"], document["command"]),
    )
    header = ("run", "connections", "forks", "threads", "at once", "done meanwhile")
    header += ("rows", "wrong", "failed", "hung", "lost", "too many", "left")
    header += ("printed", "errors")
    columns = ("forks", "threads", "alive", "queries", "rows", "wrong", "failed")
    columns += ("hung", "lost", "strange", "left", "printed")
    lines = [
        [
            str(number),
            setup["connections"],
            *(str(setup[name]) for name in columns),
            str(sum(setup["errors"].values())),
        ]
        for number, document in enumerate(documents, 1)
        for setup in document["setups"]
    ]
    made = [
        textwrap.fill(
            markdown.text(report.made_with(document)),
            markdown.COLUMNS,
            initial_indent=f"{number}. ",
            subsequent_indent="   ",
            break_on_hyphens=False,
        )
        for number, document in enumerate(documents, 1)
    ]
    return "\n\n".join(
        [markdown.table(header, lines, right=len(header) - 2), "\n".join(made)]
    )


# The functions that return what is in each page, where the figures are, and
# the name in the markers, if it is another one.
ALL = (
    (
        {
            ROOT / "README.md": some_outcomes,
            ROOT / "docs" / "pull-request.md": some_outcomes,
            ROOT / "docs" / "evidence.md": outcomes,
            ROOT / "docs" / "queues.md": queued,
            ROOT / "docs" / "deploying.md": sessions,
            ROOT / "docs" / "unsafe.md": unsafe,
            ROOT / "docs" / "packages.md": packages,
            ROOT / "docs" / "hooks.md": hooks,
            ROOT / "docs" / "processes.md": processes,
        },
        FIGURES,
    ),
    ({ROOT / "docs" / "storm.md": storms}, ROOT / "docs" / "storm"),
    (
        {
            ROOT / "README.md": costs.short,
            ROOT / "docs" / "pull-request.md": costs.short,
            ROOT / "docs" / "bench.md": costs.whole,
        },
        ROOT / "docs" / "bench.json",
        "bench",
    ),
    ({ROOT / "docs" / "gains.md": gains.tables}, ROOT / "docs" / "gains.json", "gains"),
)


def cell(setups):
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
