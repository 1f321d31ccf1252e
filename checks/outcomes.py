"""
A test runner for Django's tests that appends their outcomes, as lines of JSON,
to the file that the environment variable OVERLAY_OUTCOMES names.

It runs beside Django's tests, without the rest of this package.
"""

import json
import os
import unittest

from django.test.runner import (
    DiscoverRunner,
    ParallelTestSuite,
    RemoteTestResult,
    RemoteTestRunner,
)
from django.test.utils import iter_test_cases


class Noting:
    """
    Call note() with the id, the outcome, and its reason, of each test or
    fixture, e.g. "setUpClass (app.tests.SomeTests)".
    """

    def sent(self, err):
        """Return `err` as Django gets it."""
        return err

    def addSuccess(self, test):
        self.note(test.id(), "passed")
        super().addSuccess(test)

    def addError(self, test, err):
        self.note(test.id(), "error", _reason(err))
        super().addError(test, self.sent(err))

    def addFailure(self, test, err):
        self.note(test.id(), "failed", _reason(err))
        super().addFailure(test, self.sent(err))

    def addSubTest(self, test, subtest, err):
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self.note(test.id(), "failed" if failed else "error", _reason(err))
        super().addSubTest(test, subtest, self.sent(err))

    def addSkip(self, test, reason):
        # A subtest can be skipped, too.
        self.note(getattr(test, "test_case", test).id(), "skipped", reason)
        super().addSkip(test, reason)

    def addExpectedFailure(self, test, err):
        self.note(test.id(), "expected failure", _reason(err))
        super().addExpectedFailure(test, err)

    def addUnexpectedSuccess(self, test):
        self.note(test.id(), "unexpected success")
        super().addUnexpectedSuccess(test)


class WorkerResult(Noting, RemoteTestResult):
    # Django tells the parent process the number of a test, which is wrong
    # after a skipped one on Python 3.12.1 (gh-113267) and in fixtures.
    def note(self, *note):
        self.events.append(("replay", self.test_index, *note))

    def sent(self, err):
        """Return `err`, or its words if it can't be sent to the parent."""
        try:
            self._confirm_picklable(err)
        except Exception:
            return RuntimeError, RuntimeError(_reason(err)), err[2]
        return err


class WorkerRunner(RemoteTestRunner):
    resultclass = WorkerResult


class ParallelSuite(ParallelTestSuite):
    runner_class = WorkerRunner


class ParallelResult(unittest.TextTestResult):
    def __init__(self, *args, write, **kwargs):
        super().__init__(*args, **kwargs)
        self.write = write

    def note(self, test, outcome, reason=""):
        self.write(test=test, outcome=outcome, reason=reason)

    def replay(self, test, *note):
        self.note(*note)


class SerialResult(Noting, ParallelResult):
    pass


class Runner(DiscoverRunner):
    """Write the tests' ids, what came of each, and how many failed."""

    parallel_test_suite = ParallelSuite

    def run_tests(self, *args, **kwargs):
        # By lines, lest a process that a test forks writes a part again.
        with open(os.environ["OVERLAY_OUTCOMES"], "a", buffering=1) as self.file:
            failures = super().run_tests(*args, **kwargs)
            self.write(failures=failures)
        return failures

    def build_suite(self, *args, **kwargs):
        suite = super().build_suite(*args, **kwargs)
        self.write(tests=[test.id() for test in iter_test_cases(suite)])
        return suite

    def get_test_runner_kwargs(self):
        result = ParallelResult if self.parallel > 1 else SerialResult

        def resultclass(*args, **kwargs):
            return result(*args, write=self.write, **kwargs)

        return {**super().get_test_runner_kwargs(), "resultclass": resultclass}

    def write(self, **line):
        print(json.dumps(line), file=self.file)


def _reason(err):
    text = str(err[1]).strip()
    return f"{err[0].__name__}: {text.splitlines()[0] if text else ''}"
