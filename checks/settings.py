"""Settings for Django's tests, and the servers and drivers behind them."""

import contextlib
import pprint
import shutil
import sys
import tempfile
from pathlib import Path

from checks import requirements
from overlay import BUILD, OverlayError, environment

# psycopg 3 in its implementations, which have pools, and psycopg 2; both also
# as old as Django takes them.
POOLED = ("psycopg", "psycopg-c", "psycopg-python", "psycopg-oldest")
POSTGRESQL = (*POOLED, "psycopg2", "psycopg2-oldest")

# The drivers of each database, the usual one first.
DRIVERS = {
    "embedded": POSTGRESQL,
    "postgresql": POSTGRESQL,
    "mariadb": ("mysqlclient", "pymysql", "mysqlclient-oldest"),
    "sqlite": ("sqlite3",),
}

# Django's own, which differ from release to release, but for the database.
SETTINGS = """\
{driver}
import os

from test_sqlite import *  # noqa: F403

DATABASES = {databases}
if "OVERLAY_OUTCOMES" in os.environ:
    TEST_RUNNER = "outcomes.Runner"
if "OVERLAY_TIMEOUT" in os.environ:
    import backends.forking

    backends.forking.TIMEOUT = int(os.environ["OVERLAY_TIMEOUT"])
"""
# What is compiled where it is installed, and what that needs of Debian.
COMPILED = {
    **dict.fromkeys(
        ("mysqlclient", "mysqlclient-oldest"), "gcc pkg-config libmariadb-dev"
    ),
    "psycopg-c": "gcc libpq-dev",
}
RUNNER = Path(__file__).with_name("outcomes.py")

# PyMySQL stands in for mysqlclient of the version that Django requires:
# https://pymysql.readthedocs.io/
PYMYSQL = """\
import pymysql

pymysql.version_info = (2, 2, 7, "final", 0)
pymysql.install_as_MySQLdb()
"""


def check(database, driver=None, pool=False):
    """
    Return the driver for `database`, `driver` or the usual one. Raise
    OverlayError where it is none for it, or has no `pool`.
    """
    driver = driver or DRIVERS[database][0]
    if driver not in DRIVERS[database]:
        raise OverlayError(
            f"{driver} is no driver for {database}: use "
            f"{' or '.join(DRIVERS[database])}."
        )
    if pool and driver not in POOLED:
        raise OverlayError(
            "A pool needs PostgreSQL with psycopg 3: leave out --pool, or name "
            "another database or driver."
        )
    return driver


def python(driver):
    """
    Return the Python that has what Django's tests need, and `driver`. The
    running one is that of psycopg, and of SQLite.

    Raise OverlayError where it can't be made.
    """
    if driver in ("psycopg", "sqlite3"):
        return sys.executable
    return installed("tests", driver, requirements.DJANGO_TESTS)


def installed(name, driver, packages=()):
    """
    Return the Python of the environment `name` with `driver` and `packages`.
    Raise OverlayError where it can't be made.
    """
    try:
        return environment.python(
            f"{name}-{driver}", [*packages, *requirements.DRIVERS[driver]]
        )
    except OverlayError as error:
        if driver not in COMPILED:
            raise
        raise OverlayError(
            f"{error} {driver} is compiled: see that what it needs is there (on Debian "
            f"and Ubuntu: apt install {COMPILED[driver]})."
        ) from None


@contextlib.contextmanager
def written(database, driver=None, pools=(False,)):
    """
    Start the server of `database` and yield, as long as it runs, the names of
    settings for it, one for each of `pools` (whether there is one), and the
    directory to import them from.

    Raise OverlayError where the server doesn't start.
    """
    for pool in pools:
        driver = check(database, driver, pool)
    BUILD.mkdir(exist_ok=True)
    with (
        server(database) as settings,
        tempfile.TemporaryDirectory(prefix="settings-", dir=BUILD) as directory,
    ):
        # By itself, since the package's other modules shadow some of Django's
        # tests.
        shutil.copy(RUNNER, directory)
        names = []
        for pool in pools:
            names.append(f"settings_{database}{'_pool' * pool}")
            options = {
                **settings.get("OPTIONS", {}),
                **({"pool": True} if pool else {}),
            }
            default = other = {**settings, "OPTIONS": options}
            if "NAME" in settings:
                other = {**default, "NAME": f"{settings['NAME']}_other"}
            Path(directory, f"{names[-1]}.py").write_text(
                SETTINGS.format(
                    driver=PYMYSQL if driver == "pymysql" else "",
                    databases=pprint.pformat({"default": default, "other": other}),
                )
            )
        yield names, directory


def server(database):
    """
    Return the context manager that yields the settings of `database`, as in
    Django's DATABASES, and runs its server. It raises OverlayError where that
    doesn't start.
    """
    if database == "sqlite":
        return contextlib.nullcontext({"ENGINE": "django.db.backends.sqlite3"})
    from checks.databases import mariadb, postgresql

    return {
        "embedded": postgresql.embedded,
        "postgresql": postgresql.debian,
        "mariadb": mariadb.mariadb,
    }[database]()
