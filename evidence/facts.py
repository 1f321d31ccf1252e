"""What a run was made with, for whoever reads its figures."""

import datetime
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


def server(database):
    """Return the name and the version of the server of `database`."""
    with psycopg.connect(**postgresql.parameters(database)) as connection:
        return {"PostgreSQL": connection.execute("SHOW server_version").fetchone()[0]}


def printed(command, versions):
    """Return the paragraph that says what printed a table, and with what."""
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Printed by `{command}` on {datetime.date.today()}, with {software}, Python "
        f"{platform.python_version()}; {os.cpu_count()} cores, {_cpu()}."
    )


def _cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return (names or [platform.processor() or platform.machine()])[0]
