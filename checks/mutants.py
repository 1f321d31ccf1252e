"""
The check that no line of the fork's is without a test: each statement that it
adds under django/ is left out once, and each condition made true and false,
and a test has to fail. mutants.toml says why some changes do no harm.
"""

import ast
import os
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

from checks import requirements
from checks.lines import added
from checks.stock import HANGS, LABELS
from overlay import ROOT, console, environment, interrupts
from overlay.errors import OverlayError
from overlay.releases import usable

LIST = ROOT / "checks/mutants.toml"

# In seconds, for the tests with one database.
TIMEOUT = 240

# Statements that do nothing themselves.
PASSIVE = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Global)
PASSIVE += (ast.If, ast.With, ast.While, ast.For, ast.Try, ast.Pass)


def mutants(source, lines):
    """
    Return what `source`, of Python, becomes where something in one of `lines`,
    by their numbers, is changed, by a description of that.
    """
    found, seen = {}, Counter()
    for node in ast.walk(ast.parse(source)):
        tests = [getattr(node, "test", None), *getattr(node, "ifs", [])]
        changes = [(test, new) for test in tests if test for new in ("True", "False")]
        if isinstance(node, ast.stmt) and not isinstance(node, PASSIVE):
            changes.append((node, "pass"))
        elif isinstance(node, ast.BoolOp):
            neutral = str(isinstance(node.op, ast.And))
            changes += [(value, neutral) for value in node.values]
        for part, new in changes:
            if part.lineno not in lines:
                continue
            what = f"{' '.join(ast.get_source_segment(source, part).split())} -> {new}"
            seen[what] += 1
            what += f" ({seen[what]})" if seen[what] > 1 else ""
            found[what] = _replaced(source.splitlines(keepends=True), part, new)
    return found


def _replaced(lines, node, new):
    first, last = node.lineno - 1, node.end_lineno - 1
    new = lines[first][: node.col_offset] + new + lines[last][node.end_col_offset :]
    return "".join([*lines[:first], new, *lines[last + 1 :]])


def _check(paths):
    environment.bootstrap("tests", requirements.RUNTESTS)
    # Only now, since they need what is installed there.
    from overlay import checkout, manifest, sources

    changes = manifest.within("django/", manifest.changes(usable()))
    stock = sources.files(sources.sdist(usable()))
    known, wrong = tomllib.loads(LIST.read_text()), []
    with interrupts.unwinding(), tempfile.TemporaryDirectory() as directory:
        tree = checkout.checkout(Path(directory, "tree"), usable())
        if not _passes(tree):
            raise OverlayError("The fork's tests fail without a change: see to that.")
        for path in paths or sorted({path for each in changes for path in each.paths}):
            kept = (tree / path).read_text()
            found = mutants(kept, added(stock[path].content.decode(), kept))
            for number, (what, text) in enumerate(found.items(), 1):
                (tree / path).write_text(text)
                survives, reason = _passes(tree), known.get(path, {}).get(what)
                said = f"survives ({reason})" if survives else "killed"
                print(f"{path}, {number} of {len(found)}: {what}: {said}", flush=True)
                if survives != bool(reason):
                    wrong.append(f"WRONG: {path}: {what}: {said}")
            (tree / path).write_text(kept)
    print(*wrong, f"{len(wrong)} are not as {LIST.name} says.", sep="\n")
    return int(bool(wrong))


def _passes(tree):
    """Return whether the fork's tests pass in the checkout `tree`."""
    from checks import processes

    runs = [(database, []) for database in LABELS] + [("embedded", ["--pool"])]
    for database, options in runs:
        try:
            status = processes.run(
                [sys.executable, ROOT / "tests/runtests.py", "--checkout", tree]
                + [f"--database={database}", *options, *LABELS[database]]
                # Outside of forks, signals have tests of Django's own.
                + ["dispatch.tests", "--failfast", "--parallel=1"],
                env={**os.environ, "OVERLAY_TIMEOUT": HANGS},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT,
            )
        except OverlayError:
            return False
        if status:
            return False
    return True


if __name__ == "__main__":
    sys.exit(console.run("mutants", _check, sys.argv[1:]))
