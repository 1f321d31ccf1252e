"""
How many lines of code the fork adds under django/, apart from comments and
docstrings: what a reviewer has to understand.
"""

import ast
import io
import sys
import tokenize
from difflib import SequenceMatcher

from overlay import environment
from overlay.console import run
from overlay.errors import OverlayError
from overlay.releases import usable

# Without Oracle's backend, which is tested without a server.
LIMIT = 191
APART = "django/db/backends/oracle/"

SPACE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def code(source):
    """Return the numbers of the lines of Python `source` that hold code."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SPACE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and ast.get_docstring(node) is not None
        ):
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, docstring.end_lineno + 1))
    return lines


def added(old, new):
    """Return the numbers of the lines of code that `new` has beyond `old`."""
    lines = code(new)
    matcher = SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    return {
        number
        for tag, _, _, start, end in matcher.get_opcodes()
        if tag in ("insert", "replace")
        for number in range(start + 1, end + 1)
        if number in lines
    }


def _count(arguments):
    environment.bootstrap("overlay", environment.TOOLS)
    # Only now, since they need what is installed there.
    from overlay import manifest, sources

    version = usable(*arguments)
    files = sources.files(sources.sdist(version))

    def stock(path):
        return files[path].content if path in files else None

    def beyond(theirs, ours):
        return {
            path: len(added((theirs(path) or b"").decode(), content.decode()))
            for path, content in ours.items()
        }

    changes = manifest.within("django/", manifest.changes(version))
    now = {}
    for change, ours in zip(changes, manifest.applied(stock, changes, version)):
        lines = sum(beyond(lambda path: now.get(path) or stock(path), ours).values())
        now |= ours
        print(f"{lines:4} {change.subject}{' (follow-up)' * change.follow_up}")
        if not change.follow_up:
            merged = sum(beyond(stock, now).values())
    print(f"{merged:4} lines of code in the pull request")
    totals = beyond(stock, now)
    for path, lines in sorted(totals.items()):
        print(f"{lines:4} {path}")
    total = sum(lines for path, lines in totals.items() if not path.startswith(APART))
    print(f"{total:4} lines of code without {APART}, and at most {LIMIT}")
    if total > LIMIT:
        raise OverlayError(
            f"The fork has {total} lines of code under django/ without {APART}, and "
            f"{LIMIT} are the limit: find what isn't needed."
        )
    return 0


if __name__ == "__main__":
    sys.exit(run("lines", _count, sys.argv[1:]))
