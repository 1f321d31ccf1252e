"""
The check that each of the fork's tests fails on stock Django: one that passes
there proves nothing, unless stock.toml says what it guards.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from overlay import ROOT
from overlay.console import run, say
from overlay.errors import OverlayError

# What is tested with which database, so that no test is skipped.
LABELS = {
    "embedded": [
        "dispatch.test_fork",
        "backends.base.test_fork",
        "backends.oracle.test_fork",
        "backends.postgresql.test_fork",
        "transactions.tests.NonAutocommitTests"
        ".test_block_left_after_connection_was_closed",
    ],
    "mariadb": ["backends.mysql.test_fork"],
    "sqlite": ["backends.sqlite.test_fork"],
}

# Stock Django hangs in many of the tests: each of them gives up after 10 s.
TIMEOUT = 20 * 60

# What unittest prints of a test, with -v2 and for a failure.
TEST = re.compile(r"^test_\w+ \(([\w.]+)\)", re.MULTILINE)
FAILURE = re.compile(r"^(?:FAIL|ERROR): test_\w+ \(([\w.]+)\)", re.MULTILINE)
SKIPPED = re.compile(r"^test_\w+ \(([\w.]+)\) \.\.\. skipped", re.MULTILINE)
COUNT = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)


def passed(output):
    """
    Return the ids of the tests that passed according to the output of Django's
    runtests.py with -v2. Raise OverlayError where it doesn't tell, or where a
    test was skipped and so showed nothing.
    """
    tests, count = set(TEST.findall(output)), COUNT.search(output)
    if not count or int(count[1]) != len(tests):
        raise OverlayError(
            f"The output names {len(tests)} tests but says that "
            f"{count[1] if count else 'none'} ran: see what went wrong there."
        )
    if skipped := sorted(SKIPPED.findall(output)):
        raise OverlayError(
            f"{', '.join(skipped)}: skipped, so that it shows nothing; see to it that "
            "it can run."
        )
    return tests.difference(FAILURE.findall(output))


def check(output, known):
    """
    Raise OverlayError unless the tests that passed according to `output` are
    those of `known`.
    """
    passing = passed(output)
    if unknown := sorted(passing.difference(known)):
        raise OverlayError(
            f"{', '.join(unknown)}: passes on stock Django, so make it show the bug, "
            "or say in overlay/stock.toml what it guards."
        )
    if failing := sorted(set(known) - passing):
        raise OverlayError(
            f"{', '.join(failing)}: fails on stock Django, so take it out of "
            "overlay/stock.toml."
        )


def _check_stock(arguments):
    known = tomllib.loads((ROOT / "overlay/stock.toml").read_text())["passes"]
    total = 0
    for database, labels in LABELS.items():
        say(f"Running {', '.join(labels)} on stock Django, {database} ...")
        process = subprocess.run(
            [sys.executable, ROOT / "tests/runtests.py", "--stock", *arguments, *labels]
            + [f"--database={database}", "-v2", "--parallel=1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
        )
        Path(ROOT, f"build/stock-{database}.log").write_text(process.stdout)
        check(
            process.stdout,
            [test for test in known if test.rsplit(".", 2)[0] in labels],
        )
        total += len(set(TEST.findall(process.stdout)))
    print(
        f"{total - len(known)} of the fork's {total} tests fail on stock Django; "
        f"{len(known)} guard what worked there (overlay/stock.toml)."
    )
    return 0


if __name__ == "__main__":
    sys.exit(run("stock", _check_stock, sys.argv[1:]))
