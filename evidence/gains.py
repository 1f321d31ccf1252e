"""What users gain: preload with a pool, and Celery without its fixup."""

import contextlib
import http.client
import json
import re
import signal
import statistics
import subprocess
import time
from itertools import product
from pathlib import Path
from typing import NamedTuple

import psutil

from checks.databases import postgresql
from checks.databases.redis import redis
from checks.databases.serving import free_port, program
from evidence import facts, lifecycle, markdown, report, series, trial
from evidence.servers import celery, gunicorn
from overlay import OverlayError, say

NO_CONNECTIONS = "none"


class Way(NamedTuple):
    """A way to run gunicorn: its Django, and how that keeps connections."""

    preload: bool
    connections: str
    django: str


WAYS = {
    "preload and a pool": Way(True, trial.POOL, trial.FORK),
    "preload, no pool": Way(True, NO_CONNECTIONS, trial.STOCK),
    "a pool, no preload": Way(False, trial.POOL, trial.STOCK),
    "preload, a pool, and the workaround": Way(True, trial.POOL, trial.WORKAROUND),
}
WORKERS, THREADS = (2, 8), 4

# How Celery's tasks get their connections, on the fork, as options of
# evidence.servers.celery.
CELERY = {
    "with its fixup": {},
    "with its fixup and CELERY_DB_REUSE_MAX": {"reuse": celery.REUSE_MAX},
    "without its fixup": {"fixup": "no"},
}
CELERY_PACKAGES = (*celery.PACKAGES, "packaging==26.3", "redis==8.1.0")
TASKS = 2000

# How often everything is measured, the medians of which are taken, and the
# seconds of load each time.
ROUNDS, SECONDS = 3, 5

# In seconds: for all that one gunicorn or Celery does, and until one answers.
LIMIT, START = 120, 30

FIGURES = {
    "rps": r"Requests/sec:\s+([\d.]+)",
    "p50": r"50%\s+([\d.]+)(us|ms|s)",
    "p99": r"99%\s+([\d.]+)(us|ms|s)",
}
MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000}


def document(version, command, machine):
    """
    Measure with Django `version`, and return all that is known of it, for
    JSON. Raise OverlayError where something can't be run.
    """
    wrk = program("wrk", "wrk")
    by_django, names = series.djangos(version)
    pythons = {
        packages: series.interpreter(packages)
        for packages in (gunicorn.PACKAGES, CELERY_PACKAGES)
    }
    with postgresql.debian() as database:
        versions = facts.versions(*names, database)
        for packages, python in pythons.items():
            versions |= facts.installed(python, ["psycopg", "psycopg-pool", *packages])
        made = Made(pythons[gunicorn.PACKAGES], by_django, database, wrk)
        _migrate(made)
        samples = {}
        for number in range(ROUNDS):
            say(f"gunicorn, round {number + 1} of {ROUNDS} ...")
            for workers, (name, way) in product(WORKERS, WAYS.items()):
                figures = _served(made, way, workers)
                samples.setdefault((name, workers), []).append(figures)
        made = made._replace(python=pythons[CELERY_PACKAGES])
        tasks = {name: _tasks(made, options) for name, options in CELERY.items()}
    return {
        "command": command,
        "versions": versions,
        "machine": machine,
        "gunicorn": [
            {"way": name, "workers": workers, **_medians(measured)}
            for (name, workers), measured in samples.items()
        ],
        "celery": tasks,
    }


class Made(NamedTuple):
    """
    What is measured with: the interpreter, the packages of each Django, the
    database, and the program that puts on the load.
    """

    python: Path
    by_django: dict
    database: dict
    wrk: str


def _prepared(made, way, settings, tokens=0):
    """Return a context manager that yields a Trial of `way`."""
    return trial.prepared(
        trial.Setup("gunicorn", way.connections, way.django),
        made.python,
        made.by_django[way.django],
        made.database,
        time.monotonic() + LIMIT,
        tokens,
        DJANGO_SETTINGS_MODULE=settings,
    )


def _migrate(made):
    way = Way(False, NO_CONNECTIONS, trial.STOCK)
    with _prepared(made, way, "app.realistic.settings") as migrating:
        command = [made.python, "-m", "django", "migrate"]
        with lifecycle.started(migrating, command) as process:
            if process.wait(LIMIT):
                raise OverlayError(f"migrate: {migrating.log.read_text()[-500:]}")


def _served(made, way, workers):
    """Return what gunicorn gives and takes in that `way`."""
    address = "127.0.0.1", free_port()
    command = [made.python.with_name("gunicorn"), "app.realistic.wsgi"]
    command += ["--workers", workers, "--worker-class", "gthread"]
    command += ["--threads", THREADS, "--bind", "%s:%s" % address]
    command += ["--config", "python:app.realistic.gunicorn", "--no-control-socket"]
    command += ["--preload"] * way.preload
    with _prepared(made, way, "app.realistic.settings") as serving:
        start = time.monotonic()
        with lifecycle.started(serving, command) as process:
            _answer(serving, address, lambda process: True)
            figures = {"first": time.monotonic() - start}
            figures |= _loaded(made, address, workers * THREADS)
            family = psutil.Process(process.pid).children()
            shares = [each.memory_full_info().pss / 2**20 for each in family]
            figures["pss"] = statistics.mean(shares)
            start, old = time.monotonic(), {each.pid for each in family}
            process.send_signal(signal.SIGHUP)
            _answer(serving, address, lambda process: process not in old)
            figures["restart"] = time.monotonic() - start
    return figures


def _answer(serving, address, wanted):
    """Wait for an answer by a process that is `wanted`."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(*address, timeout=START)
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            connection.request("GET", "/")
            if wanted(json.loads(connection.getresponse().read())["process"]):
                return
        connection.close()
        time.sleep(0.01)
    raise OverlayError(f"gunicorn doesn't answer: {serving.log.read_text()[-500:]}")


def _loaded(made, address, connections):
    """Return the figures of wrk with so many `connections`."""
    command = [made.wrk, "--threads", 2, "--connections", connections, "--latency"]
    command += ["--duration", SECONDS, "http://%s:%s/" % address]
    process = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=LIMIT
    )
    found = {name: re.search(text, process.stdout) for name, text in FIGURES.items()}
    if process.returncode or not all(found.values()):
        raise OverlayError(f"wrk: {process.stdout}{process.stderr}")
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", process.stdout)
    return {
        "rps": float(found["rps"][1]),
        "p50": float(found["p50"][1]) * MILLISECONDS[found["p50"][2]],
        "p99": float(found["p99"][1]) * MILLISECONDS[found["p99"][2]],
        "failed": int(failed[1]) if failed else 0,
    }


def _medians(measured):
    return {
        name: round(statistics.median(each[name] for each in measured), 2)
        for name in measured[0]
    }


def _tasks(made, options):
    """Return how many tasks Celery runs in a second, on how many sessions."""
    say(f"Celery, {options or 'as it is'} ...")
    way = Way(True, trial.PERSISTENT, trial.FORK)
    with redis() as address, _prepared(made, way, "app.settings", TASKS) as running:
        broker = f"redis+socket://{address}"
        answers, times = [], []
        with contextlib.closing(celery.answers(running, broker, **options)) as given:
            for answer in given:
                if answer.asked and not answer.parent:
                    answers.append(answer)
                    times.append(time.monotonic())
    if len(answers) < TASKS or any(answer.error for answer in answers):
        raise OverlayError(f"Celery did {len(answers)} of {TASKS} tasks.")
    return {
        "rate": round((TASKS - 1) / (times[-1] - times[0])),
        "sessions": len({answer.session for answer in answers}),
    }


def tables(document):
    """Return what is gained, as Markdown, given what document() made."""
    header = ("workers", "gunicorn with", "Django", "requests/s", "p50, ms", "p99, ms")
    header += ("failed", "first answer, s", "after HUP, s", "MiB per worker")
    lines = [
        (
            str(row["workers"]),
            row["way"],
            WAYS[row["way"]].django.partition(" ")[0],
            f"{row['rps']:,.0f}",
            f"{row['p50']:.1f}",
            f"{row['p99']:.1f}",
            f"{row['failed']:.0f}",
            f"{row['first']:.1f}",
            f"{row['restart']:.1f}",
            f"{row['pss']:.0f}",
        )
        for row in document["gunicorn"]
    ]
    tasks = [
        (name, f"{row['rate']:,}", f"{row['sessions']:,}")
        for name, row in document["celery"].items()
    ]
    return "\n\n".join(
        [
            markdown.table(header, lines, right=7),
            markdown.table(("Celery", "tasks/s", "sessions"), tasks, right=2),
            report.printed(document),
        ]
    )


def measures(document):
    """Return what is gained with gunicorn as charts: numbers, by title."""
    titles = {"rps": "Requests in a second", "pss": "MiB of memory of each worker"}
    return {
        f"{title}, {workers} workers": {
            row["way"]: row[name]
            for row in document["gunicorn"]
            if row["workers"] == workers
        }
        for workers in dict.fromkeys(row["workers"] for row in document["gunicorn"])
        for name, title in titles.items()
    }
