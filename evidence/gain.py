"""What users gain: gunicorn's requests and memory, with preload and a pool."""

import contextlib
import http.client
import json
import re
import statistics
import subprocess
import time

import psutil

from checks.databases import postgresql
from checks.databases.serving import free_port, program
from evidence import lifecycle, markdown, series, trial
from evidence.servers import gunicorn
from overlay import OverlayError, say

# Whether the application is preloaded, how connections are kept, and Django.
WAYS = {
    "preload and a pool": (True, trial.POOL, trial.FORK),
    "preload, no pool": (True, "none", trial.STOCK),
    "a pool, no preload": (False, trial.POOL, trial.STOCK),
}
WORKERS, THREADS = 4, 4

# How often everything is measured, the medians of which are taken, and the
# seconds of load each time.
ROUNDS, SECONDS = 3, 5

# In seconds: for all that one gunicorn does, and until it answers.
LIMIT, START = 120, 30


def table(by_django):
    """
    Return the requests per second and the memory of each of WAYS, as Markdown,
    with the packages `by_django`. Raise OverlayError where there is no wrk.
    """
    wrk, python = program("wrk", "wrk"), series.interpreter(gunicorn.PACKAGES)
    samples = {way: [] for way in WAYS}
    with postgresql.debian() as database:
        _served(python, by_django, database, WAYS["preload, no pool"], _migrated)
        for number in range(ROUNDS):
            for way, kept in WAYS.items():
                say(f"gunicorn, {way}, round {number + 1} of {ROUNDS} ...")
                measure = _measured(python, wrk, kept[0])
                figures = _served(python, by_django, database, kept, measure)
                samples[way].append(figures)
    lines = []
    for way, measured in samples.items():
        rate, memory = map(statistics.median, zip(*measured))
        lines.append((way, WAYS[way][2], f"{rate:,.0f}", f"{memory:.0f}"))
    header = (f"gunicorn, {WORKERS} workers with {THREADS} threads", "Django")
    header += ("requests/s", "MiB per worker")
    return markdown.table(header, lines, right=2)


def _served(python, by_django, database, kept, function):
    _, connections, django = kept
    setup = trial.Setup("gunicorn", connections, django)
    settings = {"DJANGO_SETTINGS_MODULE": "app.realistic.settings"}
    deadline = time.monotonic() + LIMIT
    with trial.prepared(
        setup, python, by_django[django], database, deadline, **settings
    ) as prepared:
        return function(prepared)


def _migrated(prepared):
    command = [prepared.python, "-m", "django", "migrate"]
    with lifecycle.started(prepared, command) as process:
        if process.wait(LIMIT):
            raise OverlayError(f"migrate: {prepared.log.read_text()[-300:]}")


def _measured(python, wrk, preload):
    def measure(prepared):
        address = "127.0.0.1", free_port()
        command = [python.with_name("gunicorn"), "app.realistic.wsgi"]
        command += ["--workers", WORKERS, "--worker-class", "gthread"]
        command += ["--threads", THREADS, "--bind", "%s:%s" % address]
        command += ["--no-control-socket"]
        command += ["--preload"] * preload
        with lifecycle.started(prepared, command) as process:
            _answer(prepared, address)
            rate = _rate(wrk, address)
            family = psutil.Process(process.pid).children()
            shares = [each.memory_full_info().pss / 2**20 for each in family]
        return rate, statistics.mean(shares)

    return measure


def _answer(prepared, address):
    """Wait for an answer."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(*address, timeout=START)
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            connection.request("GET", "/")
            return json.loads(connection.getresponse().read())
        connection.close()
        time.sleep(0.01)
    raise OverlayError(f"gunicorn doesn't answer: {prepared.log.read_text()[-300:]}")


def _rate(wrk, address):
    """Return how many requests there are in a second. No one may fail."""
    command = [wrk, "--threads", 2, "--connections", WORKERS * THREADS]
    command += ["--duration", SECONDS, "http://%s:%s/" % address]
    process = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=LIMIT
    )
    found = re.search(r"Requests/sec:\s+([\d.]+)", process.stdout)
    if not found or "Non-2xx" in process.stdout:
        raise OverlayError(f"wrk: {process.stdout}{process.stderr}")
    return float(found[1])
