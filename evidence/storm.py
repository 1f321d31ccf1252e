"""Many forks from threads that query without pause, and what came of them."""

import contextlib
import json
import tempfile
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import psycopg

from checks import requirements
from checks.databases import postgresql
from evidence import facts, lifecycle, series, sessions, trial
from overlay.console import say
from overlay.errors import OverlayError

# In seconds, besides those for the forks: to start, and for what hangs to end.
START, END = 20, 40

# What each fork may leave in the parent, which opens and closes connections
# meanwhile: less than one, and than the buffers of one.
MOST_DESCRIPTORS, MOST_MEMORY = 0.05, 16384

# How long, in seconds, a session of a process that is gone may be there.
LEFT = 5


class Storm(NamedTuple):
    """
    How many times to fork, from how many threads, with how many children alive
    at most and in how many seconds, with the seed of what the threads do.
    """

    forks: int = 300
    threads: int = 4
    alive: int = 8
    seconds: int = 60
    seed: int = 1


class Outcome(NamedTuple):
    """
    What came of a Storm: how many forks, things that the parent did, children
    that ended as they were to, and committed rows there were; what must not
    be: wrong answers, children that failed or hung, rows that were lost or
    that nobody committed, sessions that the server has left, descriptors and
    bytes of memory that the parent had more with each fork; and its errors,
    with how often each came. With what it was measured, and all that the
    processes printed.
    """

    forks: int = 0
    queries: int = 0
    ended: int = 0
    wrong: int = 0
    failed: int = 0
    hung: int = 0
    rows: int = 0
    lost: int = 0
    strange: int = 0
    left: int = 0
    descriptors: float = 0
    memory: float = 0
    errors: dict = {}
    versions: dict = {}
    log: str = ""

    def intact(self, storm):
        """Return whether all of `storm` came, and nothing that must not be."""
        bad = (self.wrong, self.failed, self.hung, self.lost, self.strange, self.left)
        return (
            self.ended == storm.forks
            and not any(bad)
            and not self.errors
            and self.descriptors < MOST_DESCRIPTORS
            and self.memory < MOST_MEMORY
        )


def outcome(storm, connections, django, version):
    """
    Return the Outcome of `storm` with `connections` and `django`, as in a
    Setup. Raise OverlayError where it can't be run to its end.
    """
    djangos, names = series.djangos(version)
    python = series.interpreter(())
    setup = trial.Setup("storm", connections, django)
    with (
        postgresql.embedded(tcp=True) as database,
        _table(database) as table,
        tempfile.TemporaryDirectory(prefix="evidence-") as directory,
    ):
        environ = trial.environ(setup, djangos[django], database, directory) | {
            "DJANGO_SETTINGS_MODULE": "app.storm_settings",
            "EVIDENCE_TABLE": table,
        }
        deadline = time.monotonic() + START + storm.seconds + END
        run = lifecycle.Trial(
            python, 0, False, deadline, Path(directory), environ, None
        )
        before = _sessions(database)
        command = [python, "-W", "ignore", "-m", "app.storm", *storm]
        say(f"Forking {storm.forks} times, for {storm.seconds} s at most ...")
        with lifecycle.started(run, command) as process:
            told = _told(run, process)
            # While it is there, but with no connection any more.
            left = _left(database, before)
        rows = _execute(database, f"SELECT key FROM {table}")
        *lines, last = map(json.loads, told.splitlines())
        return Outcome(
            **last,
            **counted([key for (key,) in rows], lines),
            left=left,
            versions=facts.versions(*names, database)
            | facts.installed(python, requirements.PSYCOPG),
            log=run.log.read_text(errors="replace"),
        )


@contextlib.contextmanager
def _table(database):
    """Yield the name of a new table for rows, which is dropped afterwards."""
    table = f"storm_{uuid.uuid4().hex}"
    _execute(database, f"CREATE TABLE {table} (key text)")
    try:
        yield table
    finally:
        _execute(database, f"DROP TABLE {table}")


def counted(rows, lines):
    """
    Return how many `rows` there are, by their keys, how many of those of which
    `lines` tell that they were committed are lost, and how many are there
    twice or without having been begun.
    """
    begun, committed = (
        {line[name] for line in lines if name in line}
        for name in ("begun", "committed")
    )
    return {
        "rows": len(rows),
        "lost": len(committed.difference(rows)),
        "strange": len(rows) - len(begun.intersection(rows)),
    }


def _told(run, process):
    """
    Return what `process` tells at its end. Raise OverlayError where it ends or
    its time does before that.
    """
    while time.monotonic() < run.deadline:
        if run.told.exists() and (text := run.told.read_text()).endswith("}\n"):
            if '"forks"' in text[text.rindex("\n", 0, -1) + 1 :]:
                return text
        if process.poll() is not None:
            break
        time.sleep(0.05)
    lines = run.log.read_text(errors="replace").splitlines() or ["no output"]
    raise OverlayError(f"The storm did not come to its end ({lines[-1]}).")


def _left(database, before):
    """Return how many sessions the server has that weren't there `before`."""
    deadline = time.monotonic() + LEFT
    while left := len(_sessions(database) - before):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return left


def _sessions(database):
    rows = _execute(
        database,
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND pid <> pg_backend_pid()",
    )
    return {pid for (pid,) in rows}


def _execute(database, query):
    # A lock of a session that is left would hold it up.
    limit = f"-c statement_timeout={LEFT}s"
    with psycopg.connect(**sessions.parameters(database), options=limit) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def document(storm, outcomes, machine, command):
    """
    Return all that is known of `outcomes`, by how connections were kept and
    the Django, for JSON.
    """
    return {
        "command": command,
        "versions": next(iter(outcomes.values())).versions,
        "machine": machine,
        "setups": [
            {"connections": connections, "django": django, **storm._asdict()}
            | outcome._replace(log="", versions={})._asdict()
            for (connections, django), outcome in outcomes.items()
        ],
    }


def report(storm, outcome):
    """Return the lines that say what came of `storm`."""
    lines = [
        f"{outcome.forks} of {storm.forks} forks from {storm.threads} threads, seed "
        f"{storm.seed}; {outcome.ended} children ended as they were to, the parent did "
        f"{outcome.queries} things meanwhile, and {outcome.rows} rows were committed.",
        f"{outcome.wrong} wrong, {outcome.failed} failed, {outcome.hung} hung, "
        f"{sum(outcome.errors.values())} errors of the parent, {outcome.lost} rows "
        f"lost, {outcome.strange} rows too many, {outcome.left} sessions left on the "
        "server.",
        f"With each fork of the second half, the parent had {outcome.descriptors:+} "
        f"descriptors (less than {MOST_DESCRIPTORS} is right) and "
        f"{outcome.memory:+.0f} bytes of memory (less than {MOST_MEMORY}).",
        *(f"{number} x {error}" for error, number in outcome.errors.items()),
    ]
    if not outcome.intact(storm) and outcome.log:
        lines += ["The end of its output:", *outcome.log.splitlines()[-40:]]
    return lines
