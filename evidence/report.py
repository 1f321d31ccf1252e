"""What the figures prove, and the table, sentence, and JSON that say so."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

from rich import box
from rich.table import Table

from evidence.count import Figures
from evidence.setups import FORK, SETUPS, STOCK, TOKENS, WORKAROUND
from overlay.errors import OverlayError

HEADER = ("server", "Django", "right", "wrong", "failed", "hung", "shared")

LEGEND = (
    "wrong: another request's data. hung: no answer in time; a process that waits for "
    f"one asks no more, so that a row can add up to less than {TOKENS}. shared: "
    "sessions of the database server that several processes used."
)


def doubts(results):
    """
    Return why `results` don't show that stock Django has the bug and the fork
    hasn't: a list of sentences, empty if they do.
    """
    by_setup = {result.setup: result for result in results}
    reasons = []
    for setup in SETUPS:
        result = by_setup.get(setup)
        if result is None:
            reasons.append(f"There was no time for {setup.server} on {setup.django}.")
        elif setup.django == STOCK and not result.figures.wrong:
            reasons.append(
                f"With {setup.server}, stock gave no process another's data, so that "
                "it proves nothing if the fork doesn't."
            )
        elif setup.django == FORK and result.figures != Figures(right=TOKENS):
            reasons.append(
                f"With {setup.server}, the fork has not answered {TOKENS} of {TOKENS} "
                "requests rightly and on sessions of each process's own."
            )
        elif setup.django == FORK and result.processes < 2:
            reasons.append(
                f"With {setup.server}, one process answered everything on the fork."
            )
    return reasons


def sentence(results, versions):
    """Return in plain words what `results` mean."""
    if reasons := doubts(results):
        return " ".join(["This run does not show that the fork works.", *reasons])

    def figure(django, field):
        return sum(
            getattr(result.figures, field)
            for result in results
            if result.setup.django == django
        )

    def asked(django):
        return sum(figure(django, field) for field in Figures._fields[:4])

    return (
        f"After a fork, stock Django {versions['Django']} gave "
        f"{figure(STOCK, 'wrong')} of {asked(STOCK)} requests the data of another one, "
        "and with the workaround "
        f"of ticket #36957 {figure(WORKAROUND, 'wrong')} of {asked(WORKAROUND)}; the "
        f"fork answered all {figure(FORK, 'right')} rightly, and no process used a "
        "server session of another one."
    )


def title(versions, machine):
    """Return what the table was measured with, as a line."""
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{software}; {machine['cores']} cores, {machine['CPU']}"


def rows(results):
    """Return the rows of the table below HEADER, as strings."""
    return [(*result.setup, *map(str, result.figures)) for result in results]


def table(results):
    """Return the table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in HEADER[:2]:
        table.add_column(name, no_wrap=True)
    for name in HEADER[2:]:
        table.add_column(name, justify="right")
    for result, row in zip(results, rows(results)):
        table.add_row(*row, end_section=result.setup.django == FORK)
    return table


def markdown(results):
    """Return the table as Markdown."""
    lines = [HEADER, ["---"] * 2 + ["--:"] * 5, *rows(results)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def document(results, versions, machine):
    """Return all that is known of a run, for JSON."""
    return {
        "sentence": sentence(results, versions),
        "proven": not doubts(results),
        "versions": versions,
        "machine": machine,
        "setups": [
            {
                **result.setup._asdict(),
                **result.figures._asdict(),
                "processes": result.processes,
                "errors": result.errors,
                "seconds": result.seconds,
            }
            for result in results
        ],
    }


@contextlib.contextmanager
def replacing(path):
    """
    Yield a text file that becomes `path` at the end, unless an exception ends
    the block. Raise OverlayError where it can't be.
    """
    path = Path(path).resolve()
    try:
        if path.exists() and not path.is_file():
            raise OverlayError(f"{path} is not a file: name one.")
        descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise OverlayError(
            f"{path} can't be written ({error.strerror}): name a file that can be."
        ) from None
    try:
        with open(descriptor, "w") as file:
            yield file
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def write(file, document):
    """Write `document` to `file` as JSON."""
    json.dump(document, file, indent=2)
    file.write("\n")
