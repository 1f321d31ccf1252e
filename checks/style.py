"""Django's own checks of style and documentation, on the fork and on stock."""

import argparse
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from overlay import BUILD, ROOT, console, environment, releases
from overlay.console import say
from overlay.errors import OverlayError

DIRECTORY = BUILD / "style"
REQUIREMENTS = Path(__file__).with_suffix(".txt")

# As in Django's tox.ini, and its CI: where, and the command. Its sdist has no
# .flake8, and no workflows for zizmor.
CHECKS = {
    "black": (".", ["black", "--check", "--quiet", "."]),
    "flake8": (".", ["flake8", f"--config={ROOT / 'setup.cfg'}"]),
    "isort": (".", ["isort", "--check-only", "--quiet", "django", "tests"]),
    "lint-docs": ("docs", ["make", "lint"]),
    "blacken-docs": ("docs", ["make", "black"]),
    "docs": ("docs", ["make", "SPHINXOPTS=-q", "spelling"]),
    "html": ("docs", ["make", "SPHINXOPTS=-q", "html"]),
}
# What those of the documentation need beyond what pip installs.
DEBIAN = "make aspell-en libenchant-2-2"

# In seconds. The longest one takes about a minute on 2 cores.
DEADLINE = 15 * 60

# Of a line or a column, which are other ones on the fork.
NUMBER = re.compile(r"\d+")

# The inventories of other documentations may be out of reach.
UNREACHED = re.compile(r"reference target not found: (\w+(?:\.\w+)*) ")

# The notes of a feature release to come are in no sdist, but in patches for
# Django's main branch; they are checked in a document of their own.
NOTES = Path("docs/releases")
TITLE = ":orphan:\n\n=====\nNotes\n=====\n\n"


class Report(NamedTuple):
    """The lines that a check prints, and its status."""

    lines: list[str]
    status: int


def main(arguments=None):
    """Run the checks that `arguments` name, and return the exit status."""
    return console.run("style", _run, _parser().parse_args(arguments))


def _parser():
    parser = argparse.ArgumentParser(
        prog="style",
        description="Run Django's own checks of style and documentation on the fork, "
        "and print what they say of it and not of Django as it was released.",
    )
    parser.add_argument(
        "checks",
        metavar="CHECK",
        nargs="*",
        help=f"the only ones to run, of: {', '.join(CHECKS)}",
    )
    return parser


def _run(options):
    if unknown := sorted({*options.checks}.difference(CHECKS)):
        raise OverlayError(
            f"{', '.join(unknown)} is no check: name some of {', '.join(CHECKS)}."
        )
    required = [
        line
        for line in REQUIREMENTS.read_text().splitlines()
        if not line.startswith("#")
    ]
    environment.bootstrap("style", [*environment.TOOLS, *required])
    from overlay.checkout import checkout

    version = releases.usable()
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    fork = checkout(DIRECTORY / "fork", version)
    write_notes(fork / "docs/releases")
    stock = checkout(DIRECTORY / "stock", version, changes=[])
    failed = False
    for name in options.checks or CHECKS:
        say(f"Running {name} ...")
        found = new(report(name, fork), lambda: report(name, stock))
        print(f"{name}: {'DIFFERENT' if found else 'the same as on stock'}")
        print("".join(f"  {line}\n" for line in found), end="", flush=True)
        failed = failed or bool(found)
    return int(failed)


def report(name, tree):
    """
    Return the Report of the check `name` on `tree`, a Path. Raise OverlayError
    where it can't be run.
    """
    directory, command = CHECKS[name]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    try:
        process = subprocess.run(
            [shutil.which(command[0], path=path) or command[0], *command[1:]],
            cwd=tree / directory,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=DEADLINE,
        )
    except FileNotFoundError:
        raise OverlayError(
            f"{name} needs {command[0]}: on Debian and Ubuntu, apt install {DEBIAN}."
        ) from None
    except subprocess.TimeoutExpired:
        raise OverlayError(f"{name} did not end in {DEADLINE} s.") from None
    lines = process.stdout.replace(f"{tree}{os.sep}", "").splitlines()
    return Report(lines, process.returncode)


def new(fork, stock):
    """
    Return the lines that the Report `fork` has and that of stock hasn't, apart
    from their numbers, and one on their status if that differs. `stock`
    returns the latter, and is called only if `fork` says anything.

    Raise OverlayError where that couldn't be run.

    A reference to what this Python can import is right.
    """
    if not fork.status and not fork.lines:
        return []
    stock = stock()
    # A linter that finds something ends with 1.
    if stock.status > 1:
        raise OverlayError(
            f"It ends with {stock.status} on stock Django: see that what it needs is "
            f"there (on Debian and Ubuntu: apt install {DEBIAN})."
        )
    known, found = Counter(NUMBER.sub("", line) for line in stock.lines), []
    for line in fork.lines:
        if known[NUMBER.sub("", line)] > 0:
            known[NUMBER.sub("", line)] -= 1
        elif not _reaches(line):
            found.append(line)
    if fork.status != stock.status:
        found.append(f"the status is {fork.status} instead of {stock.status}")
    return found


def write_notes(directory, root=ROOT):
    """
    Write the lines that patches of the manifest add to release notes which
    aren't in `directory`, a Path, into documents there.
    """
    from overlay import manifest, patches

    notes = {}
    for change in manifest.changes(root=root):
        for path, name in change.paths.items():
            document = directory / Path(path).name
            if Path(path).parent == NOTES and not document.exists():
                _, hunks = patches.parse((root / f"{name}.patch").read_text())
                notes.setdefault(document, []).extend(
                    line
                    for hunk in hunks
                    for line in hunk.after
                    if line == "\n" or line not in hunk.before
                )
    for document, lines in notes.items():
        document.write_text(TITLE + "".join(lines))


def _reaches(line):
    reference = UNREACHED.search(line)
    if not reference:
        return False
    try:
        pkgutil.resolve_name(reference[1])
    except (ImportError, AttributeError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
