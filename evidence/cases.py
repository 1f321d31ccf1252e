"""What a child does after fork(), case by case, on both Djangos."""

import contextlib
import json
import subprocess
import time
from typing import NamedTuple

from checks.databases import postgresql
from evidence import lifecycle, markdown, series, trial
from overlay import OverlayError, say

# In seconds, for a case; it ends itself before.
LIMIT = 30

# What is in evidence.app, with the decorator `case`.
MODULES = ("limits", "processes", "packages")
DJANGOS = (trial.STOCK, trial.FORK)


class Case(NamedTuple):
    """A case, as the decorator of evidence.app.child has it; its module."""

    function: str
    what: str
    official: str
    patched: str
    connections: list
    packages: list
    module: str


def tables(version, only=()):
    """
    Run the cases, or those that have one of the names `only` in theirs, with
    Django `version`. Return a table of each module, as Markdown, and why what
    came of them isn't what they say: a list of sentences, empty if it is.
    Raise OverlayError where one can't be run.
    """
    djangos, _ = series.djangos(version)
    reasons, found = [], []
    with postgresql.embedded(tcp=True) as database:
        cases = _listed(djangos, database, only)
        for case in cases:
            reasons += _differences(case, djangos, database)
    for module in MODULES:
        lines = [(case.what, *case[2:4]) for case in cases if case.module == module]
        header = ("package" if module == "packages" else "in a child, to", *DJANGOS)
        if lines:
            found.append(markdown.table(header, lines))
    return found, reasons


def _listed(djangos, database, only):
    cases, python, django = [], series.interpreter([]), djangos[trial.STOCK]
    for module in MODULES:
        setup = trial.Setup(module, trial.PERSISTENT, trial.STOCK)
        deadline = time.monotonic() + LIMIT
        with trial.prepared(setup, python, django, database, deadline) as prepared:
            listed = json.loads(_printed(prepared, module))
        cases += [Case(*each, module) for each in listed]
    if only:
        names = [f"{case.module}.{case.function}" for case in cases]
        cases = [
            case
            for case, full in zip(cases, names)
            if any(name in full for name in only)
        ]
        if not cases:
            raise OverlayError(f"There is no such case: name one of {' '.join(names)}.")
    return cases


def _differences(case, djangos, database):
    """Run `case` and yield why what came of it isn't what it says."""
    python = series.interpreter(case.packages)
    for connections in case.connections:
        for django, expected in zip(DJANGOS, (case.official, case.patched)):
            with trial.prepared(
                trial.Setup(case.function, connections, django),
                python,
                djangos[django],
                database,
                time.monotonic() + LIMIT,
                # That a process with threads is forked.
                PYTHONWARNINGS="ignore",
            ) as prepared:
                outcome = _printed(prepared, case.module, case.function)
            say(f"{case.what}, {connections}, {django}: {outcome}")
            if outcome != expected:
                yield (
                    f"{case.function}, {connections}, on {django}: {outcome}, not "
                    f"{expected}."
                )


def _printed(prepared, module, *function):
    """Return the last line that app's `module` prints."""
    command = [prepared.python, "-m", f"app.{module}", *function]
    with lifecycle.started(prepared, command) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LIMIT)
    return (prepared.log.read_text(errors="replace").splitlines() or ["nothing"])[-1]
