"""
The check that each of our tests fails on official Django: one that passes
there proves nothing, unless stock.toml says what it guards.
"""

import os
import subprocess
import sys
import tomllib

from checks import requirements
from checks.comparison import MISSING, written
from overlay import BUILD, ROOT, OverlayError, environment, run, say
from overlay.commits import test_modules

# The suites of the tests that need another database than PostgreSQL.
SUITES = {"mariadb": "backends.mysql.", "sqlite": "backends.sqlite."}
# Ours in a module of Django's.
ADDED = (
    "transactions.tests.NonAutocommitTests.test_block_left_after_connection_was_closed"
)

# In seconds: after how many a test counts as one that hangs, as many of them
# do there, and how long all may take.
HANGS, TIMEOUT = "3", 20 * 60


def labels():
    """
    Return the labels of our tests by the database that they are run with, so
    that none is skipped.
    """
    ours = [ADDED, *test_modules()]
    found = {
        database: [label for label in ours if label.startswith(suite)]
        for database, suite in SUITES.items()
    }
    return {"embedded": sorted(set(ours).difference(*found.values())), **found}


def passed(outcomes):
    """
    Return the ids of the tests that passed according to `outcomes`, Outcomes
    by test. Raise OverlayError where a test was skipped or did not run, and so
    showed nothing.
    """
    if not outcomes:
        raise OverlayError("No test ran: see what went wrong there.")
    for test, outcome in sorted(outcomes.items()):
        if outcome.name in ("skipped", MISSING.name):
            raise OverlayError(
                f"{test}: {outcome}, so that it shows nothing; see to it that it can "
                "run."
            )
    return {test for test, outcome in outcomes.items() if not outcome.bad}


def check(outcomes, known):
    """
    Raise OverlayError unless the tests that passed according to `outcomes` are
    those of `known`.
    """
    passing = passed(outcomes)
    if unknown := sorted(passing.difference(known)):
        raise OverlayError(
            f"{', '.join(unknown)}: passes on official Django, so make it show the "
            "bug, or say in checks/stock.toml what it guards."
        )
    if failing := sorted(set(known) - passing):
        raise OverlayError(
            f"{', '.join(failing)}: fails on official Django, so take it out of "
            "checks/stock.toml."
        )


def _check_stock(arguments):
    environment.bootstrap("tests", requirements.RUNTESTS)
    # Only now, since it needs what is installed there.
    from checks import processes

    known = tomllib.loads((ROOT / "checks/stock.toml").read_text())["passes"]
    total = 0
    for database, tests in labels().items():
        say(f"Running {', '.join(tests)} on official Django, {database} ...")
        log, lines = (
            BUILD / f"stock-{database}{suffix}" for suffix in (".log", ".jsonl")
        )
        lines.write_text("")
        with open(log, "wb") as output:
            processes.run(
                [sys.executable, ROOT / "tests/runtests.py", "--stock", *arguments]
                + [*tests, f"--database={database}", "--parallel=1"],
                env={
                    **os.environ,
                    "OVERLAY_OUTCOMES": str(lines),
                    "OVERLAY_TIMEOUT": HANGS,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT,
            )
        outcomes = written(lines, log)
        check(outcomes, [test for test in known if test.rsplit(".", 2)[0] in tests])
        total += len(outcomes)
    print(
        f"{total - len(known)} of our {total} tests fail on official Django; "
        f"{len(known)} guard what worked there (checks/stock.toml)."
    )
    return 0


if __name__ == "__main__":
    sys.exit(run("stock", _check_stock, sys.argv[1:]))
