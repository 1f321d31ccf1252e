"""Django's whole suite on official and on patched Django, test by test."""

import argparse
import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter

from checks import interrupts, requirements, settings, trees
from checks.comparison import LOST, MISSING, OUTCOMES, differences, settle, written
from overlay import BUILD, OverlayError, environment, run, say, sources
from overlay.releases import usable

DIRECTORY = BUILD / "suite"

# In seconds. The whole suite takes 5 to 15 minutes on 2 cores.
TICK, DEADLINE = 30, 45 * 60

PROCESSES = 2

# What goes wrong now and then shows as more flaky tests than that.
MOST_FLAKY = 5

# Where unittest has the tests of a module that can't be imported.
FAILED_IMPORT = "unittest.loader._FailedTest."


def main(arguments=None):
    """Compare the tests that `arguments` name, and return the exit status."""
    return run("suite", _run, *_parser().parse_known_args(arguments))


def _parser():
    parser = argparse.ArgumentParser(
        prog="suite",
        allow_abbrev=False,
        description="Run Django's test suite on official and on patched Django, and "
        "compare what comes of each test.",
        epilog="Other options are passed on to Django's runtests.py, such as "
        "--reverse and --shuffle=SEED.",
    )
    parser.add_argument(
        "--django",
        metavar="VERSION",
        help="the release (default: the newest of those kept here that this Python "
        "runs)",
    )
    parser.add_argument("--database", choices=settings.DRIVERS, required=True)
    parser.add_argument("--driver")
    parser.add_argument("--pool", action="store_true", help="with a connection pool")
    parser.add_argument(
        "labels",
        metavar="LABEL",
        nargs="*",
        help="the only tests to run, as Django's runtests.py takes them",
    )
    return parser


def _run(options, rest):
    options.rest = rest
    options.django = usable(options.django)
    driver = settings.check(options.database, options.driver, options.pool)
    environment.bootstrap("tests", requirements.RUNTESTS)
    options.python = settings.python(driver)
    with interrupts.unwinding(), _suites(options) as suites:
        stock, fork = (_loaded(options, suite(options.labels)) for suite in suites)
        both = [
            test
            for test in stock
            if stock[test].bad and test in fork and not test.startswith(FAILED_IMPORT)
        ]
        # Alone, since a failure there that comes and goes, or follows from
        # that of another test, excuses nothing here.
        doubtful = [test for test in both if fork[test].name != "passed"]
        stock |= _again(suites[0], doubtful, stock)
        # Nor does a lost connection, in any way.
        expected = {
            test: outcome
            for test, outcome in stock.items()
            if not LOST.search(outcome.reason)
        }
        better, worse = differences(expected, fork)
        again = _again(suites[1], [found.test for found in worse], fork)
    _summarize("stock", stock)
    return _verdict(fork, better, worse, again)


@contextlib.contextmanager
def _suites(options):
    """
    Yield a function for official Django and one for patched Django, each of
    which runs all tests there, or those of labels, and returns their outcomes.
    """
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".", dir=DIRECTORY) as directory,
        settings.written(options.database, options.driver, [options.pool]) as (
            [module],
            path,
        ),
        # Without our tests, many of which hang there.
        sources.unpacked(options.django, directory) as stock,
        trees.tree(options.django) as fork,
    ):
        suites = []
        for side, tree in (("stock", stock), ("fork", fork)):
            parts = [options.django, options.database, options.driver]
            name = "-".join(filter(None, [*parts, options.pool and "pool", side]))
            suites.append(functools.partial(_suite, options, name, tree, module, path))
        yield suites


def _suite(options, name, tree, module, path, labels=(), again=False):
    """Run the tests of `labels`, or all, in `tree`; return their outcomes."""
    from checks import processes

    name += "-again" * again
    rest = [] if again else options.rest
    log, lines = DIRECTORY / f"{name}.log", DIRECTORY / f"{name}.jsonl"
    lines.write_text("")
    say(f"Running {name}, into {os.path.relpath(log)} ...")
    with open(log, "wb") as output, _progress(lines):
        processes.run(
            [options.python, "runtests.py", f"--settings={module}", "--noinput"]
            + [f"--parallel={1 if again else PROCESSES}", *rest, *labels],
            cwd=tree / "tests",
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(tree), path]),
                "OVERLAY_OUTCOMES": str(lines),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
        )
    return written(lines, log)


def _loaded(options, outcomes):
    """Return `outcomes`. Raise OverlayError for a label that means no test."""
    for label in options.labels:
        if f"{FAILED_IMPORT}{label.rpartition('.')[2]}" in outcomes:
            raise OverlayError(
                f"{label} can't be imported: name tests of Django's, such as "
                "backends.tests."
            )
    return outcomes


def _again(suite, tests, outcomes):
    """Return what comes of `tests`, which had `outcomes`, alone."""
    if not tests:
        return {}
    for test in tests:
        say(f"  to be run again alone: {test}: {outcomes.get(test, MISSING)}")
    alone = suite([test.removeprefix(FAILED_IMPORT) for test in tests], again=True)
    return {test: alone.get(test, MISSING) for test in tests}


@contextlib.contextmanager
def _progress(lines):
    """Print how many tests wrote to the file `lines` so far, now and then."""
    start, over = time.monotonic(), threading.Event()

    def tell():
        while not over.wait(TICK):
            tests = max(0, lines.read_bytes().count(b"\n") - 1)
            seconds = time.monotonic() - start
            say(f"  after {seconds:.0f} s: {tests or 'preparing the databases'}")

    threading.Thread(target=tell).start()
    try:
        yield
    finally:
        over.set()


def _verdict(outcomes, better, worse, again):
    """Print in what patched Django differs, and return the exit status."""
    flaky, worse = settle(worse, again)
    _report("Passed, which was not expected and is no failure", better)
    _report("Flaky, as it came out as expected when run again alone", flaky, again)
    _report("DIFFERENT, and run again alone", worse, again)
    _summarize("fork", outcomes)
    print(
        f"Different on patched Django: {len(worse)}. Passed only there: {len(better)}. "
        f"Flaky: {len(flaky)}, of which no more than {MOST_FLAKY} may be."
    )
    return int(bool(worse) or len(flaky) > MOST_FLAKY)


def _report(title, found, again={}):
    for test, expected, actual in found:
        print(f"{title}: {test}\n  expected: {expected}\n  was: {actual}")
        if again:
            print(f"  run again alone: {again[test]}")


def _summarize(side, outcomes):
    counts = Counter(outcome.name for outcome in outcomes.values())
    print(
        f"{side}: {len(outcomes)} tests, "
        + ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name])
    )


if __name__ == "__main__":
    sys.exit(main())
