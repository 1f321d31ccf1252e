"""Tests, each of which asks for tokens."""

import os

from app.telling import ask, wait_for_others

from django.test import TestCase

# The classes are what the processes share.
CLASSES, TESTS = 20, 2


def _test(self):
    wait_for_others(2)
    ask(int(os.environ["EVIDENCE_TOKENS"]) // (CLASSES * TESTS))


for number in range(CLASSES):
    name = f"Echo{number}Tests"
    globals()[name] = type(
        name,
        (TestCase,),
        {f"test_{test}": _test for test in range(TESTS)} | {"__module__": __name__},
    )
