"""What users gain: gunicorn's requests and memory, with preload and a pool."""

import contextlib
import re
import statistics
import subprocess
import time
import urllib.request
from itertools import product

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

# In seconds, for all that one gunicorn does.
LIMIT = 120


def table(by_django):
    """
    Return the requests per second and the memory of each of WAYS, as Markdown,
    with the packages `by_django`. Raise OverlayError where there is no wrk.
    """
    wrk, python = program("wrk", "wrk"), series.interpreter(gunicorn.PACKAGES)
    samples = {way: [] for way in WAYS}
    with postgresql.debian() as database:
        with _prepared(python, by_django, database, "preload, no pool") as prepared:
            command = [python, "-m", "django", "migrate"]
            with lifecycle.started(prepared, command) as process:
                if process.wait(LIMIT):
                    raise OverlayError(f"migrate: {prepared.log.read_text()[-300:]}")
        for number, way in product(range(ROUNDS), WAYS):
            say(f"gunicorn, {way}, round {number + 1} of {ROUNDS} ...")
            with _prepared(python, by_django, database, way) as prepared:
                samples[way].append(_measured(prepared, wrk, WAYS[way][0]))
    lines = []
    for way, measured in samples.items():
        rate, memory = map(statistics.median, zip(*measured))
        lines.append((way, WAYS[way][2], f"{rate:,.0f}", f"{memory:.0f}"))
    header = (f"gunicorn, {WORKERS} workers with {THREADS} threads", "Django")
    header += ("requests/s", "MiB per worker")
    return markdown.table(header, lines, right=2)


def _prepared(python, by_django, database, way):
    _, connections, django = WAYS[way]
    setup = trial.Setup("gunicorn", connections, django)
    settings = {"DJANGO_SETTINGS_MODULE": "app.realistic.settings"}
    deadline = time.monotonic() + LIMIT
    return trial.prepared(
        setup, python, by_django[django], database, deadline, **settings
    )


def _measured(prepared, wrk, preload):
    """Return gunicorn's requests per second, and a worker's memory in MiB."""
    address = "127.0.0.1:%s" % free_port()
    command = [prepared.python.with_name("gunicorn"), "app.realistic.wsgi"]
    command += ["--workers", WORKERS, "--worker-class", "gthread"]
    command += ["--threads", THREADS, "--bind", address]
    command += ["--no-control-socket", *["--preload"] * preload]
    with lifecycle.started(prepared, command) as process:
        lifecycle.wait(prepared, process, lambda: _answers(address))
        # Meanwhile, the other workers load the application.
        _rate(wrk, address)
        rate = _rate(wrk, address)
        family = psutil.Process(process.pid).children()
        shares = [each.memory_full_info().pss / 2**20 for each in family]
    return rate, statistics.mean(shares)


def _answers(address):
    with contextlib.suppress(OSError):
        with urllib.request.urlopen(f"http://{address}/", timeout=LIMIT) as response:
            return response.status == 200


def _rate(wrk, address):
    """Return how many requests there are in a second. No one may fail."""
    command = [wrk, "--threads", 2, "--connections", WORKERS * THREADS]
    # Each from any worker: the first one to accept may keep all connections.
    command += ["--header", "Connection: close"]
    command += ["--duration", SECONDS, f"http://{address}/"]
    process = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=LIMIT
    )
    found = re.search(r"Requests/sec:\s+([\d.]+)", process.stdout)
    if not found or "Non-2xx" in process.stdout:
        raise OverlayError(f"wrk: {process.stdout}{process.stderr}")
    return float(found[1])
