"""Print how many tests passed, failed, and were skipped in .ci/run's log."""

import re
import sys
from collections import Counter

# "Ran 145 tests in 9.057s", and "OK (skipped=67)" or "FAILED (failures=1)".
RAN = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
UNITTEST = re.compile(r"^(?:OK|FAILED) \((.+)\)$", re.MULTILINE)
# "==== 1 failed, 480 passed, 2 skipped in 251.03s (0:04:11) ====".
PYTEST = re.compile(r"^=+ (.+) in [\d.]+s.* =+$", re.MULTILINE)


def count(log):
    """Return how many tests passed, failed, or were skipped, by that word."""
    counts, ran = Counter(), sum(map(int, RAN.findall(log)))
    for words in UNITTEST.findall(log):
        for name, number in re.findall(r"([a-z ]+)=(\d+)", words):
            counts[name.strip()] += int(number)
    counts["failed"] = sum(
        counts[name] for name in ["failures", "errors", "unexpected successes"]
    )
    counts["passed"] = ran - counts["failed"] - counts["skipped"]
    for words in PYTEST.findall(log):
        for number, name in re.findall(r"(\d+) (passed|failed|skipped|error)", words):
            counts["failed" if name == "error" else name] += int(number)
    return counts


if __name__ == "__main__":
    with open(sys.argv[1], errors="replace") as file:
        counts = count(file.read())
    print(
        ", ".join(f"{counts[name]} {name}" for name in ["passed", "failed", "skipped"])
    )
