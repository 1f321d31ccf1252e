"""Many forks from threads that query without pause, and what came of them."""

import contextlib
import json
import subprocess
import time
import uuid
from typing import NamedTuple

from checks import requirements, settings
from evidence import facts, lifecycle, series, trial
from overlay import OverlayError, say

# In seconds, besides those for the forks: to start, and for what hangs to end.
START, END = 20, 40

# How long, in seconds, a session of a process that is gone may be there, and
# queries besides the storm's may take.
LEFT, ROWS = 5, 15

# The name of each database server, the query for its version, and for the ids
# of the sessions that others have on it.
SERVERS = {
    "postgresql": (
        "PostgreSQL",
        "SHOW server_version",
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND pid <> pg_backend_pid()",
    ),
    "mysql": (
        "MariaDB",
        "SELECT version()",
        "SELECT id FROM information_schema.processlist WHERE command <> 'Daemon' "
        "AND id <> connection_id()",
    ),
}


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


# Of an Outcome, what must be 0.
BAD = ("wrong", "failed", "hung", "lost", "strange", "left", "printed")


class Outcome(NamedTuple):
    """
    What came of a Storm: how many forks, things that the parent did, children
    that ended as they were to, and committed rows there were; what must not
    be: wrong answers, children that failed or hung, rows that were lost or
    that nobody committed, sessions that the server has left, lines that any
    process printed; and the parent's errors, with how often each came. With
    what it was measured, and all that was printed.
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
    printed: int = 0
    errors: dict = {}
    versions: dict = {}
    log: str = ""

    def intact(self, storm):
        """Return whether all of `storm` came, and nothing that must not be."""
        return (
            self.ended == storm.forks
            and not any(getattr(self, name) for name in BAD)
            and not self.errors
        )


def outcome(storm, connections, django, version, server, driver):
    """
    Return the Outcome of `storm` with `connections` and `django`, as in a
    Setup, on the database `server` by `driver`, as in settings.DRIVERS. Raise
    OverlayError where it can't be run to its end.
    """
    djangos, names = series.djangos(version)
    python = settings.installed("evidence", driver)
    setup = trial.Setup("storm", connections, django)
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(settings.server(server))
        name, version, sessions = SERVERS[database["ENGINE"].rpartition(".")[2]]
        if name == "MariaDB":
            # There is none yet, and the rows have a schema of their own.
            database["NAME"] = ""
        schema = f"storm_{uuid.uuid4().hex}"
        run = stack.enter_context(
            trial.prepared(
                *(setup, python, djangos[django], database),
                time.monotonic() + START + storm.seconds + END,
                DJANGO_SETTINGS_MODULE="app.storm_settings",
                EVIDENCE_TABLE=f"{schema}.committed",
            )
        )
        with _table(run, schema):
            before = _rows(run, sessions)
            command = [python, "-W", "ignore::DeprecationWarning", "-m", "app.storm"]
            command += storm
            say(f"Forking {storm.forks} times, for {storm.seconds} s at most ...")
            with lifecycle.started(run, command) as process:
                lines, ended = _told(run, process)
                # While it is there, but with no connection any more.
                left = _left(run, sessions, before)
            rows = _rows(run, f"SELECT name FROM {schema}.committed")
            versions = {"Django": names[django != trial.STOCK]} | {
                name: _rows(run, version)[0],
                **facts.installed(python, requirements.DRIVERS[driver]),
            }
        log = run.log.read_text(errors="replace")
        return Outcome(
            **came(lines, ended),
            **counted(rows, lines),
            left=left,
            printed=len(log.splitlines()),
            versions=versions,
            log=log,
        )


@contextlib.contextmanager
def _table(run, schema):
    """Have a new `schema` with a table for rows, and drop it afterwards."""
    table = f"{schema}.committed"
    _rows(run, f"CREATE SCHEMA {schema}", f"CREATE TABLE {table} (name varchar(32))")
    try:
        yield
    finally:
        _rows(run, f"DROP TABLE {table}", f"DROP SCHEMA {schema}")


def _rows(run, *queries):
    """
    Return the first column of what the last one of `queries` gives. Raise
    OverlayError where they fail, or a lock of a session that is left holds
    them up.
    """
    command = [run.python, "-m", "app.rows", *queries]
    # A pool would have sessions of its own.
    environ = run.environ | {"EVIDENCE_CONNECTIONS": trial.PERSISTENT}
    options = {"cwd": run.directory, "capture_output": True, "text": True}
    try:
        process = subprocess.run(command, env=environ, timeout=ROWS, **options)
    except subprocess.TimeoutExpired:
        raise OverlayError(f"{queries[0]} did not end in {ROWS} s.") from None
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["no output"]
        raise OverlayError(f"The storm does not start ({lines[-1]}).")
    return [row[0] for row in json.loads(process.stdout)]


def counted(rows, lines):
    """
    Return how many `rows` there are, by their keys, how many of those of which
    `lines` tell that they were committed are lost, and how many are there
    twice or without having been begun.
    """
    begun = {line["begun"] for line in lines if "begun" in line}
    committed = {line["committed"] for line in lines if "committed" in line}
    return {
        "rows": len(rows),
        "lost": len(committed.difference(rows)),
        "strange": len(rows) - len(begun.intersection(rows)),
    }


def came(lines, ended=None):
    """
    Return what came of it by the last one of `lines` that tells of that; where
    the parent `ended` before it was over, its status is one of the errors.
    """
    last = [line for line in lines if "forks" in line][-1]
    last.pop("over", None)
    if ended is not None:
        last["errors"][f"the parent ended with the status {ended}"] = 1
    return last


def _told(run, process):
    """
    Return the lines that `process` told until it was over, and None, or until
    it ended before that, and its status. Raise OverlayError where that was
    before the forks, or where it takes too long.
    """
    while time.monotonic() < run.deadline:
        ended = process.poll()
        text = run.told.read_text() if run.told.exists() else ""
        # The children may be telling something still.
        whole = text[: text.rfind("\n") + 1]
        if '"over"' in whole or (ended is not None and '"forks"' in whole):
            return [json.loads(line) for line in whole.splitlines()], ended
        if ended is not None:
            break
        time.sleep(0.05)
    lines = run.log.read_text(errors="replace").splitlines() or ["no output"]
    raise OverlayError(f"The storm did not come to its end ({lines[-1]}).")


def _left(run, sessions, before):
    """Return how many sessions the server has that weren't there `before`."""
    deadline = time.monotonic() + LEFT
    while left := set(_rows(run, sessions)).difference(before):
        if time.monotonic() > deadline:
            break
    return len(left)


def report(storm, outcome):
    """Return the lines that say what came of `storm`."""
    lines = [
        f"{outcome.forks} of {storm.forks} forks from {storm.threads} threads, seed "
        f"{storm.seed}; {outcome.ended} children ended as they were to, the parent did "
        f"{outcome.queries} things meanwhile, and {outcome.rows} rows were committed.",
        f"{outcome.wrong} wrong, {outcome.failed} failed, {outcome.hung} hung, "
        f"{sum(outcome.errors.values())} errors of the parent, {outcome.lost} rows "
        f"lost, {outcome.strange} rows too many, {outcome.left} sessions left on the "
        f"server, {outcome.printed} lines printed.",
        *(f"{number} x {error}" for error, number in outcome.errors.items()),
    ]
    if not outcome.intact(storm) and outcome.log:
        lines += ["The end of its output:", *outcome.log.splitlines()[-40:]]
    return lines
