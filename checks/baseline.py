"""
What Django's test suite gives on stock Django, from suite.toml: by release
and configuration, how many tests there are, and are skipped, and which fail.
"""

import os
import platform
import re
import textwrap
import tomllib
from pathlib import Path

from checks.comparison import Outcome
from overlay.errors import OverlayError
from overlay.files import replacing

FILE = Path(__file__).with_name("suite.toml")
HEADER = """\
# What Django's test suite gives on stock Django, by release and database: how
# many tests there are, how many of them are skipped, and which fail, with what
# they say. With a pool, those without one are the measure.
#
# Written by python3 -m checks.suite record, as root.
"""


def lookup(version, name, failing):
    """
    Return the table of the configuration `name` and the outcomes of the tests
    that fail with the configuration `failing`. Raise OverlayError where one of
    them was not recorded.
    """
    configurations = _load().get(version, {})
    for each in (name, failing):
        if each not in configurations:
            raise OverlayError(
                f"{os.path.relpath(FILE)} has nothing for Django {version} and {each}: "
                "use the command record first, or compare."
            )
    failures = {
        test: Outcome(*outcome.split(": ", 1))
        for test, outcome in configurations[failing]["failures"].items()
    }
    return configurations[name], failures


def record(version, name, tests, skipped, failures=None):
    """
    Write what was found with the configuration `name`: the numbers of tests
    and of skipped ones, and the outcomes of those that fail.
    """
    entry = {"python": platform.python_version(), "tests": tests, "skipped": skipped}
    if failures is not None:
        entry["failures"] = {
            test: _shortened(outcome) for test, outcome in sorted(failures.items())
        }
    known = _load()
    known.setdefault(version, {})[name] = entry
    known = {
        version: dict(sorted(configurations.items()))
        for version, configurations in sorted(known.items())
    }
    # Only now, since suites are compared without it.
    import tomli_w

    with replacing(FILE) as beside:
        beside.write_text(f"{HEADER}\n{tomli_w.dumps(known)}")


def _load():
    return tomllib.loads(FILE.read_text()) if FILE.exists() else {}


def _shortened(outcome):
    # Temporary directories have another name each time.
    text = re.sub(r"(/[\w.-]+){2,}", "...", str(outcome))
    return textwrap.shorten(text, 79, placeholder=" ...")
