"""
What os.fork() costs with stock Django and with the fork, as ratios of one run.

On a machine that does other things as well they vary.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from overlay import console, environment, requirements  # noqa: E402
from overlay.options import release  # noqa: E402

WORKER = Path(__file__).with_name("worker.py")

# How many connections the process has, and where.
NUMBERS = (10, 100, 1000)
KINDS = ("idle", "in use")

# In seconds, for one worker.
DEADLINE = 120


def _measure(rounds, forks):
    """
    Run the worker on stock and on the fork in turn, and return the medians, in
    seconds, by what was measured.
    """
    environment.bootstrap("tests", requirements.RUNTESTS)
    # Only now, since it needs what is installed there.
    from overlay import artifacts

    version = release()
    samples = {}
    with (
        artifacts.tree(version, stock=True) as stock,
        artifacts.tree(version) as fork,
    ):
        for number in range(rounds):
            console.say(f"Round {number + 1} of {rounds} ...")
            for side, tree in (("stock", stock), ("fork", fork)):
                worker = subprocess.run(
                    [
                        sys.executable,
                        "-W",
                        "ignore",
                        WORKER,
                        *map(str, [forks, *NUMBERS]),
                    ],
                    env={"PYTHONPATH": str(tree)},
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                    timeout=DEADLINE,
                )
                for name, seconds in json.loads(worker.stdout).items():
                    samples.setdefault(f"{side} {name}", []).append(seconds)
    return {name: statistics.median(seconds) for name, seconds in samples.items()}


def _run(options):
    medians = _measure(options.rounds, options.forks)
    ratio = medians["fork none"] / medians["stock none"]
    print(f"A fork without connections: {ratio:.3f} of stock")
    print("Each connection that is inherited adds, in calls of os.dup2():")
    for kind in KINDS:
        costs = [
            medians[f"fork {number} {kind}"] - medians[f"stock {number} {kind}"]
            for number in NUMBERS
        ]
        slope = statistics.linear_regression(NUMBERS, costs).slope
        print(f"{kind:>12}: {slope / medians['fork dup2']:.1f}")


def main():
    """Print the ratios, and return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--forks", type=int, default=40, help="default: %(default)s")
    return console.run("benchmarks", _run, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
