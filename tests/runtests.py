#!/usr/bin/env python3
"""Run Django's tests, and our own, on the fork of Django that is kept here."""

import argparse
import contextlib
import functools
import os
import sys
import tempfile
import time
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from overlay import BUILD, ROOT, console, environment, requirements  # noqa: E402
from overlay.errors import OverlayError  # noqa: E402
from overlay.options import release  # noqa: E402

# Django's suites that use what the fork changes, and pass on the PostgreSQL of
# the package, which has neither ICU nor TLS.
SUITES = [
    "asgi",
    "async",
    "backends",
    "db_utils",
    "delete_regress",
    "dispatch",
    "handlers",
    "select_for_update",
    "servers",
    "signals",
    "test_client",
    "test_runner",
    "test_utils",
    "transaction_hooks",
    "transactions",
]

# As Django's own test_sqlite has it, but for the database.
SETTINGS = """\
DATABASES = {databases!r}
SECRET_KEY = "django_tests_secret_key"
# Fast, which is all that tests need.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
"""

# The settings' names, and the OPTIONS of their databases.
SETTINGS_MODULES = {
    "settings_postgresql": {},
    "settings_postgresql_pool": {"pool": True},
}


def main(arguments=None):
    """Run the tests that `arguments` name, and return the exit status."""
    options, rest = _parser().parse_known_args(arguments)
    return console.run("runtests", _run, options, rest)


def _parser():
    parser = argparse.ArgumentParser(
        prog="runtests.py",
        allow_abbrev=False,
        usage="%(prog)s [options] [what Django's runtests.py takes]",
        description=(
            "Run Django's tests on the fork. Without labels or options of Django's, "
            "run the fork's own tests, Django's suites next to them, and the tests of "
            "the tooling."
        ),
        epilog=(
            "Everything else is passed on to Django's runtests.py, as in: %(prog)s "
            "backends.postgresql transactions --parallel=2 -v2"
        ),
    )
    parser.add_argument(
        "--django",
        metavar="VERSION",
        help="the release (default: the newest of those kept here that this Python "
        "runs)",
    )
    parser.add_argument(
        "--stock",
        action="store_true",
        help="run the same tests on Django as it was released",
    )
    parser.add_argument(
        "--settings",
        metavar="MODULE",
        help="Django's settings (default: DJANGO_SETTINGS_MODULE, or ones for the "
        "database that the PG* variables name, or else for one that is started)",
    )
    parser.add_argument(
        "--pool", action="store_true", help="with a connection pool in our settings"
    )
    parser.add_argument(
        "--psycopg2", action="store_true", help="with psycopg2 in place of psycopg 3"
    )
    return parser


def _run(options, rest):
    version = release(options.django)
    if options.pool and (options.psycopg2 or options.settings):
        raise OverlayError(
            "--pool is for psycopg 3 and for our own settings: leave out --pool, or "
            "the other option."
        )
    environment.bootstrap("tests", requirements.RUNTESTS)
    # Only now, since they need what is installed there.
    from overlay import artifacts, processes

    python = sys.executable
    if options.psycopg2:
        python = environment.python("tests-psycopg2", requirements.RUNTESTS_PSYCOPG2)
    with (
        processes.unwinding(),
        artifacts.tree(version, options.stock) as tree,
        _settings(options, tree) as (modules, paths),
    ):

        def django(*arguments, settings=modules[0]):
            return processes.run(
                [python, "runtests.py", *arguments, f"--settings={settings}"],
                cwd=tree / "tests",
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), *paths])},
            )

        console.say(
            f"Django {version}{' as released' * options.stock} in "
            f"{os.path.relpath(tree)}"
        )
        if rest:
            return django(*rest)
        runs = {"fork tests": functools.partial(django, *_fork_tests(version))}
        for settings in modules:
            runs[f"Django's suites, {settings}"] = functools.partial(
                django, *SUITES, "--parallel=2", settings=settings
            )
        runs["the tooling's tests"] = functools.partial(
            processes.run, [sys.executable, "-m", "pytest", "overlay"], cwd=ROOT
        )
        return _summary(runs)


@contextlib.contextmanager
def _settings(options, tree):
    """
    Yield the names of the settings to test `tree` with, and the paths to
    import them from, as long as their database is there.
    """
    if named := options.settings or os.environ.get("DJANGO_SETTINGS_MODULE"):
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [os.getcwd(), *filter(None, inherited)]
        if not PathFinder.find_spec(named.partition(".")[0], [f"{tree}/tests", *paths]):
            raise OverlayError(
                f"There is no module {named}: name settings that are in this directory "
                "or on PYTHONPATH."
            )
        yield [named], paths
        return
    from overlay.database import postgresql

    with (
        postgresql() as parameters,
        tempfile.TemporaryDirectory(prefix="settings-", dir=BUILD) as directory,
    ):
        for module, driver_options in SETTINGS_MODULES.items():
            database = {
                "ENGINE": "django.db.backends.postgresql",
                "OPTIONS": driver_options,
                **parameters,
            }
            other = {**database, "NAME": f"{database['NAME']}_other"}
            Path(directory, f"{module}.py").write_text(
                SETTINGS.format(databases={"default": database, "other": other})
            )
        plain, pool = SETTINGS_MODULES
        if options.pool:
            yield [pool], [directory]
        elif options.psycopg2:
            yield [plain], [directory]
        else:
            yield [plain, pool], [directory]


def _fork_tests(version):
    """Return the labels of the tests that the fork adds."""
    from overlay import manifest

    paths = [
        PurePosixPath(path)
        for change in manifest.changes(version)
        for path in change.paths
    ]
    return [
        ".".join(path.with_suffix("").parts[1:])
        for path in paths
        if path.parts[0] == "tests" and path.match("test_*.py")
    ]


def _summary(runs):
    """Run each of `runs`, print how they ended, and return the exit status."""
    lines, failed = [], False
    for name, run in runs.items():
        console.say(f"\n=== {name}")
        start = time.monotonic()
        status = run()
        failed = failed or status != 0
        outcome = f"failed (exit status {status})" if status else "passed"
        lines.append(f"{name}: {outcome} in {time.monotonic() - start:.0f} s")
    console.say("\n=== summary")
    print("\n".join(lines), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
