"""What the tests of all packages have in common."""

import json
import os


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: what .ci/run runs as well")
    # Away from what the tests start, and from the workers of pytest-xdist.
    if path := os.environ.pop("OVERLAY_OUTCOMES", None):
        config.pluginmanager.register(Outcomes(path))


class Outcomes:
    """Append what comes of each test to a file, as checks.outcomes does."""

    def __init__(self, path):
        self.path = path

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or not report.passed:
            reason = report.longrepr[2] if report.skipped else ""
            line = {"test": report.nodeid, "outcome": report.outcome, "reason": reason}
            with open(self.path, "a") as file:
                print(json.dumps(line), file=file)
