"""
The check that the fork's commits can be merged one by one: on the tree at each
of them, the tests that it brings pass.
"""

import sys

from checks import requirements
from checks.stock import LABELS
from overlay import ROOT, environment
from overlay.console import run, say
from overlay.errors import OverlayError
from overlay.releases import usable

# In seconds, for the tests of one commit with one database.
TIMEOUT = 5 * 60


def own_labels(change):
    """Return the labels of the tests that are in `change`, by database."""
    modules = {
        path.removeprefix("tests/").removesuffix(".py").replace("/", ".")
        for path in change.paths
        if path.startswith("tests/")
    }
    labels = {
        database: [
            label
            for label in labels
            if any(f"{label}.".startswith(f"{module}.") for module in modules)
        ]
        for database, labels in LABELS.items()
    }
    return {database: found for database, found in labels.items() if found}


def _check_commits(arguments):
    environment.bootstrap("tests", requirements.RUNTESTS)
    # Only now, since it needs what is installed there.
    from checks import processes
    from overlay import manifest

    changes = manifest.changes(usable())
    for number, change in enumerate(changes, 1):
        say(f"\n=== {number} of {len(changes)}: {change.subject}")
        for database, labels in own_labels(change).items():
            status = processes.run(
                [sys.executable, ROOT / "tests/runtests.py", f"--commits={number}"]
                + [f"--database={database}", *labels, "--parallel=2", *arguments],
                timeout=TIMEOUT,
            )
            if status:
                raise OverlayError(
                    f"The tests of commit {number}, {change.subject!r}, fail with "
                    f"{database} on the tree at that commit: move what they need into "
                    "it, or the tests into a later one."
                )
    print(f"The tests of each of the {len(changes)} commits pass on the tree at it.")
    return 0


if __name__ == "__main__":
    sys.exit(run("commits", _check_commits, sys.argv[1:]))
