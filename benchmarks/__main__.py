"""
What the fork costs, against stock Django in the same run: page faults and time
of os.fork(), and instructions of what is called with each query or request.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from checks import requirements  # noqa: E402
from overlay import console, environment  # noqa: E402
from overlay.errors import OverlayError  # noqa: E402
from overlay.releases import usable  # noqa: E402

FORKS = Path(__file__).with_name("forks.py")
CALLS = Path(__file__).with_name("calls.py")

# Page faults more than stock, at most, and by how much the layout of memory
# moves those of a process, which a path's length can change.
FAULTS = {"none": 20, "in use": 6, "idle": 6}
LAYOUT = 12
# The ratio to stock's time, which varies on a machine that is busy.
SECONDS = 1.05

# How many connections a process inherits, of each kind.
CONNECTIONS = 100

# What is called; how often by each of two processes, as the difference leaves
# out what comes before and after; the ratio to stock's instructions, at most.
# The aim is 1.01: it moves by up to 0.01 with the layout of memory, too.
HOT = {
    "connection.pool": (1000, 6000, 1.02),
    "Signal.send()": (1000, 6000, 1.02),
    "Signal.send() in a forked process": (1000, 6000, 1.03),
    "a request with one query, pooled": (50, 550, 1.02),
}

# In seconds, for one worker.
DEADLINE = 300


def _worker(tree, *command):
    """Start `command` with the Django in `tree`, which prints JSON."""
    return subprocess.Popen(
        list(map(str, command)),
        # Instructions depend on the order of sets, which depends on this.
        env={"PATH": os.environ["PATH"], "PYTHONPATH": tree, "PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(worker):
    """Return the output and errors of `worker`, or raise OverlayError."""
    try:
        output, errors = worker.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.communicate()
        raise OverlayError(
            f"A worker didn't end in {DEADLINE} s: run it by itself."
        ) from None
    if worker.returncode:
        last = errors.strip().splitlines()[-1:]
        raise OverlayError(
            f"{' '.join(worker.args)} failed with status {worker.returncode}: "
            f"{''.join(last)}"
        )
    return output, errors


def _measure_forks(trees, rounds, forks):
    """
    Return the medians, by side and by what was inherited, of page faults in
    the child and of seconds that fork, exit, and wait take.
    """
    samples = {}
    for number in range(rounds):
        console.say(f"Round {number + 1} of {rounds} ...")
        for side, tree in trees.items():
            output, _ = _finish(
                _worker(tree, sys.executable, "-W", "ignore", FORKS, CONNECTIONS, forks)
            )
            for inherited, measured in json.loads(output).items():
                samples.setdefault((side, inherited), []).append(measured)
    return {
        key: [statistics.median(values) for values in zip(*measured)]
        for key, measured in samples.items()
    }


def _calls(database, name, times):
    arguments = json.dumps({"database": database, "name": name, "times": times})
    return sys.executable, "-W", "ignore", CALLS, arguments


def _count_instructions(trees, database):
    """Return the instructions of one call of each of HOT, by side and name."""
    counts = {}
    for name, (*numbers, _) in HOT.items():
        # First, have what is imported compiled.
        for tree in trees.values():
            _finish(_worker(tree, *_calls(database, name, 1)))
        console.say(f"Counting the instructions of {name} ...")
        for times in numbers:
            workers = {
                side: _worker(
                    tree,
                    *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"),
                    *_calls(database, name, times),
                )
                for side, tree in trees.items()
            }
            for side, worker in workers.items():
                _, errors = _finish(worker)
                # A line for each process, of which one calls.
                counts[side, name, times] = max(
                    int(line.rpartition(" ")[2])
                    for line in errors.splitlines()
                    if "Collected" in line
                )
    return {
        (side, name): (counts[side, name, many] - counts[side, name, few])
        / (many - few)
        for side in trees
        for name, (few, many, _) in HOT.items()
    }


def _report_forks(medians):
    """Print what forks cost, and return those that are beyond a target."""
    beyond = []
    for inherited, at_most in FAULTS.items():
        (stock, seconds), (fork, ours) = (
            medians[side, inherited] for side in ("stock", "fork")
        )
        if inherited == "none":
            more = fork - stock
            name = "A fork without connections"
            at_most += LAYOUT
            print(
                f"{name}: {ours / seconds:.3f} of stock's time until the child has "
                f"ended (aim: {SECONDS})"
            )
        else:
            base = medians["fork", "none"][0] - medians["stock", "none"][0]
            more = (fork - stock - base) / CONNECTIONS
            name = f"Each connection that is {inherited}"
        print(
            f"{name}: {more:.1f} page faults more than stock (aim: {FAULTS[inherited]})"
        )
        if more > at_most:
            beyond.append(name)
    return beyond


def _report_calls(counts):
    """Print what calls cost, and return those that are beyond the target."""
    beyond = []
    for name, (_, _, at_most) in HOT.items():
        stock, fork = counts["stock", name], counts["fork", name]
        print(
            f"{name}: {fork / stock:.3f} of stock's {stock:,.0f} instructions (at most "
            f"{at_most})"
        )
        if fork / stock > at_most:
            beyond.append(name)
    return beyond


def _run(options):
    environment.bootstrap("tests", requirements.RUNTESTS)
    # Only now, since they need what is installed there.
    from checks import trees
    from checks.databases import postgresql

    version = usable()
    if not (valgrind := shutil.which("valgrind")):
        missing = "Instructions are not counted, as there is no valgrind: install it."
        if os.environ.get("CI"):
            raise OverlayError(missing)
        console.say(missing)
    with contextlib.ExitStack() as stack:
        trees = {
            side: str(stack.enter_context(trees.tree(version, side == "stock")))
            for side in ("stock", "fork")
        }
        beyond = _report_forks(_measure_forks(trees, options.rounds, options.forks))
        if valgrind:
            database = stack.enter_context(postgresql.embedded())
            beyond += _report_calls(_count_instructions(trees, database))
    if beyond:
        raise OverlayError(
            f"{'; '.join(beyond)}: more than the target. Find what costs it, with "
            "more --rounds if it is page faults, as the layout of memory moves them."
        )


def main():
    """Print the costs, and return 1 where one is beyond its target."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--forks", type=int, default=40, help="default: %(default)s")
    return console.run("benchmarks", _run, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
