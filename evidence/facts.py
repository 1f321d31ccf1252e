"""What a run was made with, for whoever reads its figures."""

import json
import os
import platform
import subprocess
from pathlib import Path

import psycopg

from overlay.errors import OverlayError

PACKAGES = """
import importlib.metadata, json
print(json.dumps({
    package.name.lower(): package.version
    for package in importlib.metadata.distributions()
}))
"""


def versions(stock, fork, database):
    """
    Return the versions of what the set-ups consist of, given the interpreters
    of the environments of stock Django and of the fork.

    Raise OverlayError where they differ in more than Django.
    """
    packages, others = _packages(stock), _packages(fork)
    django, ours = packages.pop("django"), others.pop("django")
    if packages != others or not ours.startswith(f"{django}+"):
        raise OverlayError(
            f"{stock.parent.parent} and {fork.parent.parent} differ in more than "
            "Django: remove both and run this again."
        )
    return {
        "Django": django,
        "fork": ours,
        **{name: packages[name] for name in ("psycopg", "psycopg-pool", "gunicorn")},
        "Python": platform.python_version(),
        "PostgreSQL": _postgresql(database),
    }


def machine():
    """Return what the run was made on."""
    return {
        "CPU": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
    }


def _packages(python):
    process = subprocess.run(
        [python, "-I", "-c", PACKAGES], capture_output=True, check=True, timeout=60
    )
    return json.loads(process.stdout)


def _postgresql(database):
    with psycopg.connect(
        **{
            parameter: database[name]
            for parameter, name in (
                ("host", "HOST"),
                ("port", "PORT"),
                ("user", "USER"),
                ("password", "PASSWORD"),
                ("dbname", "NAME"),
            )
        }
    ) as connection:
        return connection.execute("SHOW server_version").fetchone()[0]


def _cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return (names or [platform.processor() or platform.machine()])[0]
