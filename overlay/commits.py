"""
The commits: django/*.patch, in the order of their names.

Each patch has the commit's message, the paths of the files that the commit
adds, which are in this repository, and what `git show` says of the changes to
Django's files. A hunk applies where its context and removed lines stand
exactly once in the file, wherever that is, so that one patch serves several
releases.
"""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from overlay import ROOT, OverlayError, releases

# The first commits are the pull request, and the others are offered.
PULL_REQUEST = 3


class Commit(NamedTuple):
    """
    A commit: its message, the paths of the files that it adds, and for each
    path that it changes, the hunks: pairs of what is replaced, and by what.
    """

    message: str
    added: list[str]
    changed: dict[str, list[tuple[str, str]]]

    @property
    def subject(self):
        return self.message.partition("\n")[0]


def paths():
    """Return the paths of the patches."""
    return sorted((ROOT / "django").glob("*.patch"))


def commits():
    """Return the Commits, in the order in which they go upstream."""
    return [parse(path.read_text(encoding="utf-8")) for path in paths()]


def test_modules():
    """Return the labels of the test modules that the commits add."""
    return [
        path.removeprefix("tests/").removesuffix(".py").replace("/", ".")
        for commit in commits()
        for path in commit.added
        if PurePosixPath(path).match("test_*.py")
    ]


def parse(text):
    """Return the Commit that the `text` of a patch describes."""
    head, *sections = re.split(r"(?m)^diff --git a/(\S+) b/\1\n", text)
    message, _, added = head.partition("\n---\n")
    return Commit(
        f"{message}\n",
        added.split(),
        {
            path: [
                (_side(hunk, " -"), _side(hunk, " +"))
                for hunk in re.split(r"(?m)^@@ .*\n", section)[1:]
            ]
            for path, section in zip(sections[::2], sections[1::2])
        },
    )


def made(commit, tree, version, prefix=""):
    """
    Return what `commit` makes of the files in the directory `tree`, of Django
    `version`, whose paths begin with `prefix`: texts by path. Raise
    OverlayError where a hunk doesn't apply.

    Documentation is for the newest series and for later ones, and release
    notes are for the series that has them.
    """
    texts = {
        path: (ROOT / path).read_text(encoding="utf-8")
        for path in commit.added
        if path.startswith(prefix)
    }
    newest = releases.series(version) >= releases.series(releases.NEWEST)
    for path, hunks in commit.changed.items():
        left_out = path.startswith("docs/") and not (newest and (tree / path).exists())
        if path.startswith(prefix) and not left_out:
            text = (tree / path).read_text(encoding="utf-8")
            texts[path] = _patched(text, hunks, f"Django {version}'s {path}")
    return texts


def write(directory, texts):
    """Write `texts`, by path, into `directory`: all of them, or none."""
    beside = {}
    try:
        for path, text in texts.items():
            path = directory / path
            path.parent.mkdir(parents=True, exist_ok=True)
            beside[path] = path.with_name(f".{path.name}.new")
            beside[path].write_text(text, encoding="utf-8", newline="\n")
        for path, new in beside.items():
            if path.exists():
                new.chmod(path.stat().st_mode & 0o777)
            new.replace(path)
    finally:
        for new in beside.values():
            new.unlink(missing_ok=True)


def apply(tree, version, prefix=""):
    """
    Write what all commits make of Django `version`, of its paths that begin
    with `prefix`, into its `tree`.
    """
    for commit in commits():
        write(tree, made(commit, tree, version, prefix))


def _side(hunk, signs):
    lines = hunk.splitlines(keepends=True)
    return "".join(line[1:] for line in lines if line[0] in signs)


def _patched(text, hunks, name):
    text = f"\n{text}"
    for before, after in hunks:
        if (times := text.count(f"\n{before}")) != 1:
            raise OverlayError(
                f"A hunk does not apply: what it replaces stands {times} times in "
                f"{name} instead of once: {before.strip()!r}"
            )
        text = text.replace(f"\n{before}", f"\n{after}")
    return text[1:]
