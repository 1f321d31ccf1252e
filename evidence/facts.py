"""What a run was made with, for whoever reads its figures."""

import json
import os
import platform
import subprocess
from pathlib import Path

import psycopg

from checks.databases import postgresql

PACKAGES = """
import importlib.metadata, json
print(json.dumps({
    package.name.lower().replace("_", "-"): package.version
    for package in importlib.metadata.distributions()
}))
"""


def installed(python, packages):
    """
    Return the versions, by name, of those of `packages`, requirements as pip
    takes them, that the interpreter `python` has.
    """
    process = subprocess.run(
        [python, "-I", "-c", PACKAGES], capture_output=True, check=True, timeout=60
    )
    names = [package.partition("==")[0].partition("[")[0] for package in packages]
    versions = json.loads(process.stdout)
    return {name: versions[name.lower()] for name in names}


def versions(django, fork, database):
    """
    Return the versions of what all set-ups have in common, given those of
    stock Django and of the fork.
    """
    return {
        "Django": django,
        "fork": fork,
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


def _postgresql(database):
    with psycopg.connect(**postgresql.parameters(database)) as connection:
        return connection.execute("SHOW server_version").fetchone()[0]


def _cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return (names or [platform.processor() or platform.machine()])[0]
