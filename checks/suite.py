"""
Django's whole test suite on stock Django and on the fork, test by test.

What it gives on stock is kept in suite.toml, so that it has to be run on the
fork only.
"""

import argparse
import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path, PurePosixPath

from checks import baseline, requirements, settings
from checks.comparison import MISSING, OUTCOMES, differences, settle, written
from overlay import BUILD, console, environment, interrupts
from overlay.console import say
from overlay.errors import OverlayError
from overlay.releases import usable

DIRECTORY = BUILD / "suite"

# In seconds. The whole suite takes 5 to 15 minutes on 2 cores.
TICK, DEADLINE = 30, 45 * 60

# What goes wrong now and then shows as more flaky tests than that.
MOST_FLAKY = 5

# Where unittest has the tests of a module that can't be imported.
FAILED_IMPORT = "unittest.loader._FailedTest."


def main(arguments=None):
    """Run the command that `arguments` name, and return its exit status."""
    return console.run("suite", _run, _parser().parse_args(arguments))


def _parser():
    parser = argparse.ArgumentParser(
        prog="suite", description="Compare Django's test suite on stock and the fork."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--django",
        metavar="VERSION",
        help="the release (default: the newest of those kept here that this Python "
        "runs)",
    )
    common.add_argument("--database", choices=settings.DRIVERS, required=True)
    common.add_argument("--driver")
    common.add_argument("--pool", action="store_true", help="with a connection pool")
    common.add_argument(
        "--parallel",
        metavar="N",
        type=int,
        default=2,
        help="the number of processes (default: %(default)s)",
    )
    labels = argparse.ArgumentParser(add_help=False)
    labels.add_argument(
        "labels",
        metavar="LABEL",
        nargs="*",
        help="the only tests to run, as Django's runtests.py takes them",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, parents, text in (
        ("record", _record, [common], "run it on stock and keep the result"),
        ("check", _check, [common, labels], "run it on the fork, against that result"),
        ("compare", _compare, [common, labels], "run it on both"),
    ):
        subparser = commands.add_parser(name, parents=parents, help=text)
        subparser.set_defaults(command=command, labels=[])
    return parser


def _run(options):
    options.django = usable(options.django)
    driver = settings.check(options.database, options.driver, options.pool)
    environment.bootstrap("tests", requirements.RUNTESTS)
    options.python = settings.python(driver)
    with interrupts.unwinding():
        return options.command(options)


def _record(options):
    with _suites(options, "stock") as suites:
        outcomes = suites["stock"]()
        _, failing = differences({}, outcomes)
        # With a pool others fail each time, and on the fork none of them may.
        again = {} if options.pool else _again(suites["stock"], failing)
    failures = None
    if not options.pool:
        flaky = [found for found in failing if not again[found.test].bad]
        _report("Left out, since it did not fail when run again alone", flaky, again)
        failures = {
            found.test: found.actual for found in failing if again[found.test].bad
        }
    baseline.record(
        options.django,
        _configuration(options),
        len(outcomes),
        _count(outcomes, "skipped"),
        failures,
    )
    _summarize("stock", outcomes)


def _check(options):
    names = _configuration(options), _configuration(options, pool=False)
    # On stock connections of a pool are lost, and on the fork none may be.
    counts, failures = baseline.lookup(options.django, *names)
    with _suites(options, "fork") as suites:
        outcomes = _loaded(options, suites["fork"](options.labels))
        expected = {test: failures[test] for test in failures.keys() & outcomes.keys()}
        better, worse = differences(expected, outcomes)
        again = _again(suites["fork"], worse)
    wrong = [] if options.labels else miscounted(counts, _stocks(options, outcomes))
    return _verdict(outcomes, better, worse, again, wrong)


def _compare(options):
    with _suites(options, "stock", "fork") as suites:
        stock = _loaded(options, suites["stock"](options.labels))
        fork = suites["fork"](options.labels)
        _, worse = differences(stock, fork)
        # Where both fail, but not alike, either of them may be flaky.
        both = [found for found in worse if found.expected.bad]
        stock |= _again(suites["stock"], both)
        better, worse = differences(stock, fork)
        again = _again(suites["fork"], worse)
    _summarize("stock", stock)
    return _verdict(fork, better, worse, again)


@contextlib.contextmanager
def _suites(options, *sides):
    """
    Yield a function for each of `sides`, "stock" and "fork", that runs all
    tests there, or those of given labels, and returns their outcomes.
    """
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".", dir=DIRECTORY) as directory,
        settings.written(options.database, options.driver, [options.pool]) as (
            [module],
            path,
        ),
        contextlib.ExitStack() as trees,
    ):
        suites = {}
        for side in sides:
            tree = trees.enter_context(_tree(options.django, side, directory))
            name = f"{options.django}-{_configuration(options)}-{side}"
            suites[side] = functools.partial(_suite, options, name, tree, module, path)
        yield suites


@contextlib.contextmanager
def _tree(version, side, directory):
    from checks import trees
    from overlay import checkout

    if side == "fork":
        with trees.tree(version) as tree:
            yield tree
    else:
        # Without the fork's tests, many of which hang on stock.
        yield checkout.checkout(Path(directory, side), version, changes=[])


def _suite(options, name, tree, module, path, labels=(), again=False):
    """Run the tests of `labels`, or all, in `tree`; return their outcomes."""
    from checks import processes

    name, parallel = (f"{name}-again", 1) if again else (name, options.parallel)
    log, lines = DIRECTORY / f"{name}.log", DIRECTORY / f"{name}.jsonl"
    lines.write_text("")
    say(f"Running {name}, into {os.path.relpath(log)} ...")
    with open(log, "wb") as output, _progress(lines):
        processes.run(
            [options.python, "runtests.py", f"--settings={module}", "--noinput"]
            + [f"--parallel={parallel}", *labels],
            cwd=tree / "tests",
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(tree), path]),
                "OVERLAY_OUTCOMES": str(lines),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
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


def _again(suite, found):
    """Return what comes of the tests of `found`, Differences, alone."""
    if not found:
        return {}
    for each in found:
        say(f"  to be run again alone: {each.test}: {each.actual}")
    labels = [each.test.removeprefix(FAILED_IMPORT) for each in found]
    outcomes = suite(labels, again=True)
    return {each.test: outcomes.get(each.test, MISSING) for each in found}


@contextlib.contextmanager
def _progress(lines):
    """
    Print how far the run is that writes to the file `lines`, now and then.
    Raise OverlayError, in the main thread, when it has taken too long.
    """
    start = time.monotonic()

    def tick(number, frame):
        seconds = time.monotonic() - start
        if seconds < DEADLINE:
            tests = max(0, lines.read_bytes().count(b"\n") - 1)
            say(f"  after {seconds:.0f} s: {tests or 'preparing the databases'}")
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise OverlayError(
            f"The run did not end in {DEADLINE / 60:.0f} minutes: see which tests are "
            f"the last ones in {os.path.relpath(lines)}, and what hangs after them."
        )

    previous = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _verdict(outcomes, better, worse, again, wrong=()):
    """Print in what the fork differs, and return the exit status."""
    flaky, worse = settle(worse, again)
    wrong = [*wrong]
    if len(flaky) > MOST_FLAKY:
        wrong.append(f"{len(flaky)} tests are flaky: no more than {MOST_FLAKY} may be.")
    _report("Passed, which was not expected and is no failure", better)
    _report("Flaky, as it came out as expected when run again alone", flaky, again)
    _report("DIFFERENT, and run again alone", worse, again)
    print("".join(f"DIFFERENT: {line}\n" for line in wrong), end="")
    _summarize("fork", outcomes)
    print(
        f"Different from stock: {len(worse) + len(wrong)}. Passed only on the fork: "
        f"{len(better)}. Flaky: {len(flaky)}."
    )
    return int(bool(worse or wrong))


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


def miscounted(counts, outcomes):
    """
    Return the lines that say where `outcomes` has fewer tests, or more skipped
    ones, than `counts`, which baseline.lookup() gave.
    """
    tests, skipped = len(outcomes), _count(outcomes, "skipped")
    there, lines = f"on stock with Python {counts['python']}.", []
    if tests < counts["tests"]:
        lines.append(f"{tests} tests, and {counts['tests']} {there}")
    if skipped > counts["skipped"]:
        lines.append(f"{skipped} skipped tests, and {counts['skipped']} {there}")
    return lines


def _count(outcomes, name):
    return sum(outcome.name == name for outcome in outcomes.values())


def _stocks(options, outcomes):
    """Return the outcomes of those tests that stock has as well."""
    from overlay import manifest

    own = tuple(
        f"{'.'.join(PurePosixPath(path).with_suffix('').parts[1:])}."
        for change in manifest.changes(options.django)
        for path in change.paths
        if re.fullmatch(r"tests/.+/test_\w+\.py", path)
    )
    return {
        test: outcome for test, outcome in outcomes.items() if not test.startswith(own)
    }


def _configuration(options, pool=True):
    parts = [options.database, options.driver, "pool" if options.pool and pool else ""]
    return "-".join(filter(None, parts))


if __name__ == "__main__":
    sys.exit(main())
