"""The figures as a table, as JSON, and as Markdown."""

import json

from rich import box
from rich.table import Table

from evidence import markdown, proof
from evidence.trial import FORK, TOKENS

HEADER = (
    *("server", "connections", "Django"),
    *("right", "wrong", "failed", "hung", "shared", "sessions", "ms", "parent"),
)

# What the words in tables mean.
TERMS = {
    "wrong": "another request's data",
    "failed": "an error",
    "hung": (
        "no answer in time; a process that waits for one asks no more, so that a row "
        "can add up to less"
    ),
    "shared": "sessions of the database server that several processes used",
    "sessions": "those that answered",
    "ms": (
        "the median of the milliseconds that an answer took in the process that asked "
        "the database, a new connection included"
    ),
    "parent": (
        "how many of the parent's own queries were right once the workers had come and "
        "gone, where it can run any"
    ),
    "workaround": "what projects do on stock Django",
}


def legend(*names, mark=""):
    """Return what `names`, of TERMS, mean, each between two of `mark`."""
    return " ".join(f"{mark}{name}{mark}: {TERMS[name]}." for name in names)


LEGEND = f"Of {TOKENS} requests, {legend(*list(TERMS)[:-1])}"


def title(versions, machine):
    """Return what the table was measured with, as a line."""
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{software}; {machine['cores']} cores, {machine['CPU']}"


def document(servers, setups, results, versions, machine, command):
    """Return all that is known of a run, for JSON."""
    reasons = proof.doubts(servers, setups, results)
    by_name = {server.name: server for server in servers}
    return {
        "sentence": proof.sentence(servers, results, reasons, versions),
        "proven": not reasons,
        "command": command,
        "legend": LEGEND,
        "versions": versions,
        "machine": machine,
        "setups": [
            {
                **result.setup._asdict(),
                "workaround": by_name[result.setup.server].workaround,
                "expected": by_name[result.setup.server].expected,
                "note": by_name[result.setup.server].note,
                **result.figures._asdict(),
                "sessions": result.sessions,
                "ms": result.milliseconds,
                "processes": result.processes,
                "parent": result.parent._asdict() if any(result.parent) else None,
                "held": list(result.held),
                "errors": list(result.errors),
                "seconds": result.seconds,
                "not_run": result.reason,
            }
            for result in results
        ],
    }


def rows(document):
    """Return the rows of the table below HEADER, as strings."""
    return [_row(setup) for setup in document["setups"]]


def _row(setup):
    names = tuple(setup[name.lower()] for name in HEADER[:3])
    if setup["not_run"]:
        return (*names, f"not run: {setup['not_run']}", *[""] * (len(HEADER) - 4))
    parent = setup["parent"]
    asked = sum(parent[name] for name in HEADER[3:7]) if parent else 0
    return (
        *names,
        *(str(setup[name]) for name in HEADER[3:9]),
        "" if setup["ms"] is None else f"{setup['ms']:.1f}",
        f"{parent['right']} of {asked}" if parent else "",
    )


def table(document):
    """Return the table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in HEADER[:3]:
        table.add_column(name, overflow="fold")
    for name in HEADER[3:]:
        table.add_column(name, justify="right")
    for setup, row in zip(document["setups"], rows(document)):
        if setup["not_run"]:
            # There's no room for the reason, which is in the sentence.
            row = (*row[:3], "not run", *row[4:])
        table.add_row(*row, end_section=setup["django"] == FORK)
    return table


def text(document):
    """Return `document` as JSON, each item of its lists on a line."""
    lists = {name: items for name, items in document.items() if isinstance(items, list)}
    written = json.dumps(document | dict.fromkeys(lists), indent=1)
    for name, items in lists.items():
        lines = ",\n".join(map(json.dumps, items))
        written = written.replace(f'"{name}": null', f'"{name}": [\n{lines}\n]')
    return f"{written}\n"


def made_with(document):
    """Return as Markdown what `document` was measured by and with."""
    made = title(document["versions"], document["machine"])
    return f"`{document['command']}` with {made}"


def printed(document):
    """Return the paragraph that says so, as Markdown."""
    return markdown.filled(f"Printed by {made_with(document)}.")
