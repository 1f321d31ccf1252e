#!/usr/bin/env python3
"""Run Django's tests, and our own, on the patched Django that is kept here."""

import argparse
import contextlib
import functools
import os
import sys
import time
from importlib.machinery import PathFinder
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from checks import interrupts, requirements, settings  # noqa: E402
from overlay import ROOT, OverlayError, environment, run, say  # noqa: E402
from overlay.commits import test_modules  # noqa: E402
from overlay.releases import usable  # noqa: E402

# The suites that our tests are in, and those next to them. They pass on the
# PostgreSQL of the package, which has neither ICU nor TLS.
SUITES = ["backends", "dispatch", "transactions"]

# Of the tooling, whose tests lie in them.
PACKAGES = ["overlay", "checks", "evidence"]


def main(arguments=None):
    """Run the tests that `arguments` name, and return the exit status."""
    options, rest = _parser().parse_known_args(arguments)
    return run("runtests", _run, options, rest)


def _parser():
    parser = argparse.ArgumentParser(
        prog="runtests.py",
        allow_abbrev=False,
        usage="%(prog)s [options] [what Django's runtests.py takes]",
        description=(
            "Run Django's tests on patched Django. Without labels or options of "
            "Django's, run the suites that our own tests are in, and the tests of the "
            "tooling."
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
        "--checkout",
        metavar="DIR",
        type=Path,
        help="run them in a checkout, as it was edited there (default: in one of what "
        "is in this repository)",
    )
    parser.add_argument(
        "--tooling",
        action="store_true",
        help="run the tests of the tooling alone, with what pytest takes",
    )
    parser.add_argument(
        "--own",
        action="store_true",
        help="run the tests that our commits add, and no other",
    )
    parser.add_argument(
        "--settings",
        metavar="MODULE",
        help="Django's settings (default: DJANGO_SETTINGS_MODULE, or ones for a "
        "database that is started)",
    )
    parser.add_argument(
        "--database",
        choices=settings.DRIVERS,
        help="what to test with, in place of --settings: PostgreSQL of a package "
        "(embedded, the default) or of Debian over TLS, Debian's MariaDB, or SQLite in "
        "memory",
    )
    parser.add_argument(
        "--driver",
        choices=sorted({name for names in settings.DRIVERS.values() for name in names}),
        help="the driver, where a database has several (default: psycopg, in its "
        "binary implementation, and mysqlclient)",
    )
    parser.add_argument(
        "--pool", action="store_true", help="with a connection pool in our settings"
    )
    return parser


def _run(options, rest):
    version = usable(options.django)
    if options.checkout:
        if options.django or options.stock:
            raise OverlayError(
                "--checkout is what it is: leave out --django and --stock."
            )
        if not (options.checkout / "tests/runtests.py").is_file():
            raise OverlayError(
                f"{options.checkout} is no checkout of Django: name one, as python3 -m "
                "overlay checkout makes it."
            )
    named = options.settings
    if named and (options.database or options.driver or options.pool):
        raise OverlayError(
            "--database, --driver, and --pool are for our own settings: leave them "
            "out, or --settings."
        )
    if not (options.database or options.driver or options.pool):
        named = named or os.environ.get("DJANGO_SETTINGS_MODULE")
    database = options.database or "embedded"
    driver = settings.check(database, options.driver, options.pool)
    environment.bootstrap("tests", requirements.RUNTESTS)
    # Only now, since they need what is installed there.
    from checks import processes, trees

    tooling = [sys.executable, "-m", "pytest", "-n2", *PACKAGES]
    if options.tooling:
        with interrupts.unwinding():
            return processes.run([*tooling, *rest], cwd=ROOT)
    if options.own:
        rest = [*test_modules(), *rest]
    # Without any options, with and without a pool on the same server.
    pools = [False, True] if driver in settings.POOLED and not rest else [False]
    python = settings.python(driver)
    with (
        interrupts.unwinding(),
        (
            contextlib.nullcontext(options.checkout.resolve())
            if options.checkout
            else trees.tree(version, options.stock)
        ) as tree,
        (
            _named(named, tree)
            if named
            else settings.written(database, driver, [True] if options.pool else pools)
        ) as (modules, directory),
    ):

        def django(*arguments, settings=modules[0]):
            return processes.run(
                [python, "runtests.py", *arguments, f"--settings={settings}"],
                cwd=tree / "tests",
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([str(tree), directory]),
                },
            )

        say(
            f"Django {version}{' as released' * options.stock} in "
            f"{os.path.relpath(tree)}"
        )
        if rest:
            return django(*rest)
        runs = {
            f"{' '.join(SUITES)}, {module}": functools.partial(
                django, *SUITES, "--parallel=auto", settings=module
            )
            for module in modules
        }
        if not options.database:
            runs["the tooling's tests"] = functools.partial(
                processes.run,
                [*tooling, "-m", "not slow"],
                cwd=ROOT,
            )
        return _summary(runs)


@contextlib.contextmanager
def _named(module, tree):
    """
    Yield the settings `module` that are named, and the paths to import them
    from. Raise OverlayError if they aren't there.
    """
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [os.getcwd(), *filter(None, inherited)]
    if not PathFinder.find_spec(module.partition(".")[0], [f"{tree}/tests", *paths]):
        raise OverlayError(
            f"There is no module {module}: name settings that are in this directory "
            "or on PYTHONPATH."
        )
    yield [module], os.pathsep.join(paths)


def _summary(runs):
    """Run each of `runs`, print how they ended, and return the exit status."""
    lines, failed = [], False
    for name, tests in runs.items():
        say(f"\n=== {name}")
        start = time.monotonic()
        status = tests()
        failed = failed or status != 0
        outcome = f"failed (exit status {status})" if status else "passed"
        lines.append(f"{name}: {outcome} in {time.monotonic() - start:.0f} s")
    say("\n=== summary")
    print("\n".join(lines), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
