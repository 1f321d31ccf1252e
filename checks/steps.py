"""
The check that a fork at any step of a pool's life is right: before each line
of psycopg_pool that its threads run, with and without the parent's death.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from checks import requirements
from overlay import ROOT, console, environment, interrupts
from overlay.errors import OverlayError
from overlay.releases import usable

SCRIPT = ROOT / "checks/scripts/steps.py"

# In seconds, for one run of it.
TIMEOUT = 400

# The steps of a pool's life that there are at least.
FEWEST = 300


def main(arguments=None):
    """Run the check that `arguments` name, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="steps",
        description="Fork before each line of psycopg_pool that the threads of a pool "
        "run, and see that parent and child go on rightly.",
    )
    parser.add_argument("--stock", action="store_true", help="on stock Django")
    parser.add_argument(
        "--kill",
        metavar="N",
        type=console.up_to(999),
        help="run it again for every Nth line, and kill the parent there",
    )
    return console.run("steps", _check, parser.parse_args(arguments))


def _check(options):
    environment.bootstrap("tests", requirements.RUNTESTS)
    # Only now, since they need what is installed there.
    from checks import trees
    from checks.databases import postgresql

    with (
        interrupts.unwinding(),
        trees.tree(usable(), options.stock) as tree,
        postgresql.embedded(tcp=True) as database,
    ):
        lines = _run(tree, database)
        wrong = [line for line in lines if not line.endswith(": ok")]
        number = len({line for line in lines if re.search(r":\d+: ok$", line)})
        print(f"{number} steps of psycopg_pool, {len(wrong)} wrong.", flush=True)
        if options.kill:
            places = range(1, number + 1, options.kill)
            with ThreadPoolExecutor(2) as executor:
                ends = list(executor.map(lambda at: _run(tree, database, at), places))
            killed = [lines for lines in ends if lines != ["killed: ok"]]
            print(f"{len(ends)} of them with a killed parent, {len(killed)} wrong.")
            wrong += [" ".join(lines) or "nothing was printed" for lines in killed]
    for line in wrong:
        print(line)
    if not wrong and number < FEWEST:
        raise OverlayError(f"A pool's life has {number} steps, and {FEWEST} are usual.")
    if not wrong and lines[-1] != "parent: ok":
        raise OverlayError("The parent did not come to its end.")
    return int(bool(wrong))


def _run(tree, database, *arguments):
    """Return the lines that the script prints."""
    from checks import processes

    with tempfile.TemporaryFile("w+") as output:
        processes.run(
            [sys.executable, "-W", "ignore", SCRIPT, json.dumps(database)]
            + [str(argument) for argument in arguments],
            env={"PYTHONPATH": str(tree)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT,
        )
        output.seek(0)
        return output.read().splitlines()


if __name__ == "__main__":
    sys.exit(main())
