import pytest

from checks import lines
from overlay import ROOT
from overlay.errors import OverlayError

OLD = """\
import os


def first():
    return os.getpid()
"""

NEW = '''\
"""A docstring
of two lines."""

import os
import sys  # Why.


def first():
    """A docstring."""
    # A comment.
    return (
        os.getpid()
    )


class Second:
    """A docstring."""

    text = """not a
    docstring"""
'''


def test_code_is_neither_comment_nor_docstring():
    assert lines.code(OLD) == {1, 4, 5}
    assert lines.code(NEW) == {4, 5, 8, 11, 12, 13, 16, 19, 20}


def test_added_counts_what_the_old_source_does_not_have():
    assert lines.added(OLD, OLD) == set() and len(lines.added(NEW, OLD)) == 1
    # The import, the three lines of the statement, and the class.
    assert len(lines.added(OLD, NEW)) == 7
    assert len(lines.added("", NEW)) == 9


def test_limit(monkeypatch, capsys):
    monkeypatch.setattr(lines.environment, "bootstrap", lambda *args: None)
    assert lines._count([]) == 0
    *printed, total = capsys.readouterr().out.splitlines()
    (merged,) = (line.strip() for line in printed if "in the pull request" in line)
    text = (ROOT / "docs/pull-request.md").read_text(encoding="utf-8")
    assert merged.removesuffix(" in the pull request") in text
    number = int(total.split()[0])
    assert 0 < number <= lines.LIMIT
    monkeypatch.setattr(lines, "LIMIT", number - 1)
    with pytest.raises(OverlayError, match=f"has {number} lines.*{number - 1} are the"):
        lines._count([])
