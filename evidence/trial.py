"""The set-ups: each server with each Django, under the same load."""

import contextlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from evidence.count import HUNG, Figures, count
from evidence.lifecycle import Trial
from overlay import OverlayError

TOKENS = 200

# The longest that a set-up takes, in seconds, and after how many requests that
# hang enough is known.
LIMIT, HANGING = 120, 32

STOCK, WORKAROUND, FORK = (
    "official Django",
    "with the usual workaround",
    "patched Django",
)
DJANGOS = (STOCK, WORKAROUND, FORK)
POOL, PERSISTENT = "pool", "persistent"


class Setup(NamedTuple):
    """
    A server, by name, how it keeps connections, and its Django.
    """

    server: str
    connections: str
    django: str


class Result(NamedTuple):
    """
    What came of a set-up under load: the figures, those of the parent's own
    tokens after the load, how many processes answered, the first few errors,
    how long it took in seconds, and why it wasn't run, if so.
    """

    setup: Setup
    figures: Figures = Figures()
    parent: Figures = Figures()
    processes: int = 0
    errors: tuple = ()
    seconds: float = 0
    reason: str | None = None


def setups(servers, connections=(POOL, PERSISTENT)):
    """Return the Setups of `servers`."""
    return [
        Setup(server.name, kind, django)
        for server in servers
        for kind in connections
        for django in DJANGOS
        if server.workaround or django != WORKAROUND
    ]


def result(server, setup, python, packages, database, deadline, advance):
    """
    Return the Result of `setup`, which is of `server`: run by the interpreter
    `python` with the Django in the directory `packages` on the `database`, a
    dict as in DATABASES, until `deadline`, a time of time.monotonic(), at the
    latest. Call `advance()` after each answer.
    """
    start, answers, hanging, reason = time.monotonic(), [], 0, None
    deadline = min(deadline, start + LIMIT)
    with prepared(setup, python, packages, database, deadline, TOKENS) as trial:
        # Else an interrupt leaves its end to the garbage collection.
        with contextlib.closing(server.answers(trial)) as given:
            try:
                for answer in given:
                    answers.append(answer)
                    advance()
                    hanging += answer.error == HUNG
                    if hanging >= HANGING:
                        break
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
        errors=tuple(error for error in errors if error not in (None, HUNG))[:3],
        seconds=round(time.monotonic() - start, 1),
        reason=reason,
    )


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
