"""What patched Django costs, and what it gives, against official Django."""

import contextlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

from checks.databases import postgresql
from evidence import facts, gain, markdown, series, trial
from overlay import BUILD, OverlayError, say

OFFICIAL, PATCHED = trial.STOCK, trial.FORK


class Call(NamedTuple):
    """
    The function of app.calls that is called, with which connections, how often
    by each of two processes, as the difference leaves out what comes before
    and after, and the ratio to official Django's instructions, at most. So
    many calls are made that what a pool's threads do is little of them.
    """

    function: str
    connections: str
    few: int
    many: int
    at_most: float = 1.01


CALLS = {
    "connection.pool": Call("pool", trial.POOL, 1000, 51000, 1.02),
    "connection.cursor()": Call("cursor", trial.PERSISTENT, 100, 600),
    # It compares ids of processes.
    "connection.connect(), from a pool": Call("connect", trial.POOL, 50, 550, 1.03),
    "a request with one query, pooled": Call("request", trial.POOL, 20, 320),
    "a request with one query, persistent": Call("request", trial.PERSISTENT, 20, 120),
    "connecting to SQLite for one query": Call("sqlite", trial.PERSISTENT, 100, 600),
    "Signal.send()": Call("send", trial.PERSISTENT, 500, 3000),
}

# What a process has when it forks, as app.forks knows it, and how many.
NONE, *KINDS = "none", "persistent", "checked out", "idle"
NUMBERS = (1, 100)

# Page faults more than on official Django, at most: of a fork, and of each
# connection but the first; and by how much the layout of memory moves those of
# a process.
FAULTS, EACH, LAYOUT = 30, 4, 20

# Forks are measured in so many copies of Django, and the median is taken.
ROUNDS = 3

# In seconds, for one process that measures.
LIMIT = 600


class Made(NamedTuple):
    """What is measured with: the interpreter, packages, and the database."""

    python: Path
    by_django: dict
    database: dict


def tables(version, quick, arguments):
    """
    Measure with Django `version`, less of it if `quick`. Return tables, as
    Markdown, and what costs more than it may, as sentences. Raise OverlayError
    where something can't be run.
    """
    (by_django, names), python = series.djangos(version), series.interpreter([])
    with postgresql.embedded(tcp=True) as database:
        versions = {"Django": " and ".join(names), **facts.server(database)}
        versions |= facts.installed(python, ["psycopg", "psycopg-pool"])
        made = Made(python, by_django, database)
        calls, forks = _calls(made, quick), _forks(made, quick)
    printed = [_call_table(calls), _fork_table(forks)]
    if not quick:
        printed.append(gain.table(by_django))
    command = shlex.join(["python3", "evidence", *arguments])
    return [*printed, facts.printed(command, versions)], _beyond(calls, forks)


@contextlib.contextmanager
def _trees(made, depth=0):
    """
    Yield a directory with each Django, by that: new ones, as where they lie
    moves what they cost, and both of the same length.
    """
    prefix = f"bench-{'x' * depth}"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=BUILD) as directory:
        trees = {}
        for number, django in enumerate((OFFICIAL, PATCHED)):
            trees[django] = Path(directory, str(number))
            for package in ("asgiref", "django", "sqlparse"):
                source = made.by_django[django] / package
                copy = trees[django] / package
                shutil.copytree(source, copy, copy_function=os.link)
        yield trees


def _calls(made, quick):
    """Return the instructions of each call, by name and Django."""
    if not shutil.which("valgrind"):
        missing = "Instructions are not counted, as there is no valgrind: install it."
        if os.environ.get("CI"):
            raise OverlayError(missing)
        say(missing)
        return {}
    names = [name for name in CALLS if not quick or CALLS[name].function == "cursor"]
    calls = {name: [] for name in names}
    with (
        _trees(made) as trees,
        # Instructions are the same whatever else goes on.
        ThreadPoolExecutor(os.cpu_count()) as executor,
    ):
        keys = list(product(names, trees))
        found = executor.map(
            lambda key: _instructions(made, trees[key[1]], CALLS[key[0]]), keys
        )
        for (name, django), instructions in zip(keys, found):
            say(f"{name}, {django}: {instructions:,.0f} instructions")
            calls[name].append(instructions)
    return calls


def _instructions(made, tree, call):
    """Return the instructions of one `call` with the Django in `tree`."""
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no"]
    valgrind.append("--cachegrind-out-file=/dev/null")
    command = made, tree, call.connections, "app.calls", call.function
    # First, have what is imported compiled.
    _run(*command, 1)
    few, many = (
        # A line for each process, of which one calls.
        max(
            int(line.rpartition(" ")[2].replace(",", ""))
            for line in _run(*command, times, before=valgrind)[1].splitlines()
            if "refs:" in line
        )
        for times in (call.few, call.many)
    )
    return (many - few) / (call.many - call.few)


def _forks(made, quick):
    """Return page faults and microseconds, by what is live and by Django."""
    samples, rounds = {}, 1 if quick else ROUNDS
    each = [(NONE, 0), *product(KINDS[:1] if quick else KINDS, NUMBERS)]
    for number in range(rounds):
        say(f"Forks, round {number + 1} of {rounds} ...")
        with _trees(made, number) as trees:
            for key, django in product(each, trees):
                arguments = "app.forks", 20 if quick else 40, *key
                output, _ = _run(made, trees[django], trial.PERSISTENT, *arguments)
                measured = samples.setdefault(key, {}).setdefault(django, [])
                measured.append(json.loads(output))
    return {
        key: [[*map(statistics.median, zip(*runs))] for runs in by_django.values()]
        for key, by_django in samples.items()
    }


def _run(made, tree, connections, module, *arguments, before=()):
    """
    Return what a process prints that measures, and its errors. Raise
    OverlayError where it fails.
    """
    setup = trial.Setup(module, connections, OFFICIAL)
    environ = trial.environ(setup, tree, made.database, "/nowhere")
    # Instructions depend on the order of sets, which depends on this.
    environ |= {"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"}
    try:
        process = subprocess.run(
            list(map(str, [*before, made.python, "-m", module, *arguments])),
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise OverlayError(f"{module} didn't end in {LIMIT} s: run it alone.") from None
    if process.returncode:
        last = "".join(process.stderr.strip().splitlines()[-1:])
        raise OverlayError(f"{module} failed with {process.returncode}: {last}")
    return process.stdout, process.stderr


def _more(forks, kind, count):
    """Return how many page faults more a fork has with patched Django."""
    (official, _), (patched, _) = forks[kind, count]
    return patched - official


def _each(forks, kind):
    """Return the same of each connection of a `kind` after the first one."""
    few, many = NUMBERS
    return (_more(forks, kind, many) - _more(forks, kind, few)) / (many - few)


def _call_table(calls):
    lines = [
        (name, f"{official:,.0f}", f"{patched / official:.3f}")
        for name, (official, patched) in calls.items()
    ]
    header = ("instructions of", OFFICIAL, f"{PATCHED}, as a ratio to that")
    return markdown.table(header, lines, right=2)


def _fork_table(forks):
    lines = [
        (
            f"{count or 'no'} connections{f', {kind}' if count else ''}",
            f"{official[0]:.0f}",
            f"{_more(forks, kind, count):+.0f}",
            f"{official[1] * 1e6:.0f}",
            f"{patched[1] * 1e6:.0f}",
        )
        for (kind, count), (official, patched) in forks.items()
    ]
    header = ("a fork with", f"page faults, {OFFICIAL}", PATCHED)
    header += (f"µs, {OFFICIAL}", f"µs, {PATCHED}")
    return markdown.table(header, lines, right=4)


def _beyond(calls, forks):
    for name, (official, patched) in calls.items():
        if patched > CALLS[name].at_most * official:
            ratio = f"{patched / official:.3f}, more than {CALLS[name].at_most}"
            yield f"{name}: {ratio} of official Django's instructions."
    if (more := _more(forks, NONE, 0)) > FAULTS + LAYOUT:
        yield f"A fork: {more:.0f} page faults more, not {FAULTS} at most."
    for kind in sorted({kind for kind, _ in forks} - {NONE}):
        if (more := _each(forks, kind)) > EACH:
            yield f"Each connection, {kind}: {more:.1f} faults more, not {EACH}."
