"""The set-ups: each server with each Django, under the same load."""

import contextlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from evidence import sessions
from evidence.count import HUNG, Figures, count
from evidence.lifecycle import Trial
from overlay import OverlayError

TOKENS = 200

# The longest that a set-up takes, in seconds.
LIMIT = 20

STOCK, WORKAROUND, FORK = "stock", "stock + workaround", "fork"
POOL, PERSISTENT = "pool", "persistent"


class Setup(NamedTuple):
    """
    A server, by name, how it keeps connections, and its Django: stock, stock
    with the usual workaround, or the fork.
    """

    server: str
    connections: str
    django: str


class Result(NamedTuple):
    """
    What came of a set-up under load: the figures, those of the parent's own
    tokens after the load, how many processes and server sessions answered,
    the median of the milliseconds that an answer took in them, which processes
    held which sessions before the fork and at the end, the first few errors,
    how long it took in seconds, and why it wasn't run, if so.
    """

    setup: Setup
    figures: Figures = Figures()
    parent: Figures = Figures()
    processes: int = 0
    sessions: int = 0
    milliseconds: float | None = None
    held: tuple = ()
    errors: tuple = ()
    seconds: float = 0
    reason: str | None = None


def setups(servers, connections=(POOL, PERSISTENT)):
    """Return the Setups of `servers`."""
    return [
        Setup(server.name, kind, django)
        for server in servers
        for kind in connections
        for django in (STOCK, WORKAROUND, FORK)
        if server.workaround or django != WORKAROUND
    ]


def result(server, setup, python, packages, database, deadline, advance):
    """
    Return the Result of `setup`, which is of `server`: run by the interpreter
    `python` with the Django in the directory `packages` on the `database`, a
    dict as in DATABASES, until `deadline`, a time of time.monotonic(), at the
    latest. Call `advance()` after each answer.
    """
    start, answers, held, reason = time.monotonic(), [], [], None
    deadline = min(deadline, start + LIMIT)
    with prepared(setup, python, packages, database, deadline, TOKENS) as trial:
        trial = trial._replace(
            look=lambda process: held.append(sessions.holders(process, database))
        )
        # Else an interrupt leaves its end to the garbage collection.
        with contextlib.closing(server.answers(trial)) as given:
            try:
                for answer in given:
                    answers.append(answer)
                    advance()
            except OverlayError as error:
                reason = str(error)
    errors = dict.fromkeys(answer.error for answer in answers)
    asked = [answer for answer in answers if answer.asked and not answer.parent]
    return Result(
        setup,
        count(answers),
        count(
            answer._replace(parent=False, session=None)
            for answer in answers
            if answer.parent
        ),
        processes=len({answer.process for answer in asked} - {None}),
        sessions=len({answer.session for answer in asked} - {None}),
        milliseconds=_median(answer.took for answer in asked),
        held=tuple(held),
        errors=tuple(error for error in errors if error not in (None, HUNG))[:3],
        seconds=round(time.monotonic() - start, 1),
        reason=reason,
    )


def _median(seconds):
    """Return the median of those `seconds` that aren't None, as ms."""
    known = [number for number in seconds if number is not None]
    return round(statistics.median(known) * 1000, 2) if known else None


def not_run(setup, reason):
    """Return the Result of `setup`, which isn't run for `reason`."""
    return Result(setup, reason=reason)


@contextlib.contextmanager
def prepared(setup, python, packages, database, deadline, tokens=0, **variables):
    """
    Yield a Trial of `setup` until `deadline`, a time of time.monotonic(), in a
    directory of its own: by the interpreter `python` with the Django in the
    directory `packages` on the `database`, a dict as in DATABASES, asked for
    as many tokens as `tokens`, with these environment `variables` as well.
    """
    with tempfile.TemporaryDirectory(prefix="evidence-") as directory:
        yield Trial(
            python,
            tokens,
            setup.django == WORKAROUND,
            deadline,
            Path(directory),
            environ(setup, packages, database, directory) | variables,
            lambda process: None,
        )


def environ(setup, packages, database, directory):
    """
    Return the environment variables for `setup`, with the Django in the
    directory `packages`, the `database`, a dict as in DATABASES, and a
    directory of its own.
    """
    variables = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith(("CELERY_", "GUNICORN_", "PYTHON", "UWSGI_"))
    } | {
        "DJANGO_SETTINGS_MODULE": "app.settings",
        "EVIDENCE_CONNECTIONS": setup.connections,
        "EVIDENCE_DATABASE": json.dumps(database),
        "EVIDENCE_TOLD": f"{directory}/told",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(packages)]),
        "PYTHONUNBUFFERED": "1",
    }
    if setup.django == WORKAROUND:
        variables["EVIDENCE_WORKAROUND"] = "1"
    return variables
