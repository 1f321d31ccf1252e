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

# What is tested with which database, so that no test is skipped.
LABELS = {
    "embedded": [
        "dispatch.test_fork",
        "backends.base.test_fork",
        "backends.base.test_fork_autocommit",
        "backends.base.test_fork_in_c",
        "backends.oracle.test_fork",
        "backends.postgresql.test_fork",
        "backends.postgresql.test_fork_cursors",
        "backends.postgresql.test_fork_in_c",
        "backends.postgresql.test_pool_fork",
        "transactions.tests.NonAutocommitTests"
        ".test_block_left_after_connection_was_closed",
    ],
    "mariadb": ["backends.mysql.test_fork"],
    "sqlite": ["backends.sqlite.test_fork"],
}

# In seconds: after how many a test counts as one that hangs, as many of them
# do there, and how long all may take.
HANGS, TIMEOUT = "3", 20 * 60


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
    for database, labels in LABELS.items():
        say(f"Running {', '.join(labels)} on official Django, {database} ...")
        log, lines = (
            BUILD / f"stock-{database}{suffix}" for suffix in (".log", ".jsonl")
        )
        lines.write_text("")
        with open(log, "wb") as output:
            processes.run(
                [sys.executable, ROOT / "tests/runtests.py", "--stock", *arguments]
                + [*labels, f"--database={database}", "--parallel=1"],
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
        check(outcomes, [test for test in known if test.rsplit(".", 2)[0] in labels])
        total += len(outcomes)
    print(
        f"{total - len(known)} of our {total} tests fail on official Django; "
        f"{len(known)} guard what worked there (checks/stock.toml)."
    )
    return 0


if __name__ == "__main__":
    sys.exit(run("stock", _check_stock, sys.argv[1:]))
