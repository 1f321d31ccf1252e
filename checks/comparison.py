"""In what the outcomes of two runs of Django's tests differ."""

import json
import os
import re
from typing import NamedTuple

from overlay import OverlayError

# What can come of a test, from the best to the worst.
OUTCOMES = (
    "passed",
    "expected failure",
    "skipped",
    "unexpected success",
    "failed",
    "error",
    # It was found but did not run.
    "missing",
)
BAD = OUTCOMES[OUTCOMES.index("unexpected success") :]

# What unittest runs once for all the tests of a class or of a module.
FIXTURE = re.compile(r"(?:setUp|tearDown)(?:Class|Module) \((.+)\)")

# What drivers say of a connection that another process used or ended. As it
# comes and goes, a test isn't cleared of it by passing when it is run again.
LOST = re.compile(
    r"SSL (SYSCALL )?error|connection (is|was|has been|already) (closed|lost)"
    r"|(closed|lost) (the )?connection|couldn't get a connection|gone away"
    r"|out of sync|packet sequence number wrong|another command is already",
    re.IGNORECASE,
)


class Outcome(NamedTuple):
    """What came of a test, one of OUTCOMES, and why, in one line."""

    name: str
    reason: str = ""

    @property
    def bad(self):
        return self.name in BAD

    def __str__(self):
        return f"{self.name}: {self.reason}" if self.reason else self.name


PASSED, MISSING = Outcome("passed"), Outcome("missing")


class Difference(NamedTuple):
    """A test, the outcome that it should have, and the one that it has."""

    test: str
    expected: Outcome
    actual: Outcome


def read(lines):
    """
    Return the Outcome of each test by its id, according to `lines`, which
    checks.outcomes wrote: the worst one, where a test and its fixtures have
    several. Return None where the run did not come to its end.
    """
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    if not entries or "failures" not in entries[-1]:
        return None
    tests = [test for entry in entries for test in entry.get("tests", ())]
    outcomes = {}
    for entry in entries:
        if "outcome" in entry:
            outcome = Outcome(entry["outcome"], entry["reason"])
            for test in _tests(entry["test"], tests):
                outcomes[test] = max(outcomes.get(test, PASSED), outcome, key=_badness)
    return dict.fromkeys(tests, MISSING) | outcomes


def written(lines, log):
    """
    Return what read() does of the file `lines`, both Paths. Raise OverlayError
    where the run, whose output is in `log`, did not come to its end.
    """
    with open(lines) as file:
        outcomes = read(file)
    if outcomes is None:
        last = "".join(log.read_text(errors="replace").strip().splitlines()[-1:])
        raise OverlayError(
            f"{log.stem} did not come to its end ({last[:200]}): see why in "
            f"{os.path.relpath(log)}."
        )
    return outcomes


def differences(expected, actual):
    """
    Return two lists of Differences between outcomes: where a test passes that
    was not expected to, and all others. What only `actual` has must not fail.
    """
    better, worse = [], []
    for test in sorted(expected.keys() | actual.keys()):
        came = actual.get(test, MISSING)
        should = expected.get(test, PASSED if came.bad else came)
        if came.name != should.name:
            found = better if came.name == "passed" else worse
            found.append(Difference(test, should, came))
    return better, worse


def settle(worse, again):
    """
    Return two lists of what is in `worse`: Differences that the outcomes of
    another run, `again`, did not have, and all others.

    An error of a lost connection is among the latter in any case.
    """
    flaky, real = [], []
    for found in worse:
        gone = again.get(found.test, MISSING).name == found.expected.name
        lost = LOST.search(found.actual.reason)
        (flaky if gone and not lost else real).append(found)
    return flaky, real


def _tests(name, tests):
    fixture = FIXTURE.fullmatch(name)
    if not fixture:
        return [name]
    return [test for test in tests if test.startswith(f"{fixture[1]}.")] or [name]


def _badness(outcome):
    return OUTCOMES.index(outcome.name)
