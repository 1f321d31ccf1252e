"""Many forks from threads that query without pause, and what came of them."""

import json
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psycopg

from checks.databases import postgresql
from evidence import lifecycle, series, sessions, trial
from overlay.console import say
from overlay.errors import OverlayError

# In seconds, besides those for the forks: to start, and for what hangs to end.
START, END = 20, 40

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
    What came of a Storm: how many forks, queries of the parent, and children
    that ended well there were, what must not be: wrong answers, children that
    failed or hung, and sessions that the server has left; and the errors of
    the parent, with how often each came.
    """

    forks: int = 0
    queries: int = 0
    ended: int = 0
    wrong: int = 0
    failed: int = 0
    hung: int = 0
    left: int = 0
    errors: dict = {}
    log: str = ""

    def intact(self, storm):
        """Return whether all of `storm` came, and nothing that must not be."""
        bad = self.wrong or self.failed or self.hung or self.left or self.errors
        return self.ended == storm.forks and not bad


def outcome(storm, connections, django, version):
    """
    Return the Outcome of `storm` with `connections` and `django`, as in a
    Setup. Raise OverlayError where it can't be run to its end.
    """
    djangos, _ = series.djangos(version)
    python = series.interpreter(())
    setup = trial.Setup("storm", connections, django)
    with (
        postgresql.embedded(tcp=True) as database,
        tempfile.TemporaryDirectory(prefix="evidence-") as directory,
    ):
        environ = trial.environ(setup, djangos[django], database, directory)
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
        return Outcome(**told, left=left, log=run.log.read_text(errors="replace"))


def _told(run, process):
    """
    Return what `process` tells at its end. Raise OverlayError where it ends or
    its time does before that.
    """
    while time.monotonic() < run.deadline:
        if run.told.exists() and (text := run.told.read_text()).endswith("\n"):
            return json.loads(text)
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
    with psycopg.connect(**sessions.parameters(database)) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()"
        )
        return {pid for (pid,) in rows}


def report(storm, outcome):
    """Return the lines that say what came of `storm`."""
    lines = [
        f"{outcome.forks} of {storm.forks} forks from {storm.threads} threads, seed "
        f"{storm.seed}; {outcome.ended} children ended well, and the parent had "
        f"{outcome.queries} right answers.",
        f"{outcome.wrong} wrong, {outcome.failed} failed, {outcome.hung} hung, "
        f"{sum(outcome.errors.values())} errors of the parent, {outcome.left} sessions "
        "left on the server.",
        *(f"{number} x {error}" for error, number in outcome.errors.items()),
    ]
    if not outcome.intact(storm) and outcome.log:
        lines += ["The end of its output:", *outcome.log.splitlines()[-40:]]
    return lines
