"""
Print how many tests passed, failed, and were skipped, according to a file that
OVERLAY_OUTCOMES named; fail if one of ours was skipped for a reason that isn't
in those sections of skips.toml:

    python3 .ci/count.py FILE SECTION...
"""

import json
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

SKIPS = Path(__file__).with_name("skips.toml")
OURS = re.compile(r"(checks|evidence|overlay)/tests/|.*\.test_(pool_)?fork\w*\.")
WORDS = {"passed": "passed", "expected failure": "passed", "skipped": "skipped"}


def main(path, *sections):
    with open(path) as file:
        lines = [line for line in map(json.loads, file) if "outcome" in line]
    counts = Counter(WORDS.get(line["outcome"], "failed") for line in lines)
    allowed = tomllib.loads(SKIPS.read_text())
    reasons = [reason for section in sections for reason in allowed[section]]
    wrong = [
        f"{line['test']}: skipped ({line['reason']}): let it run, or allow it in "
        ".ci/skips.toml."
        for line in lines
        if line["outcome"] == "skipped"
        and OURS.match(line["test"])
        and not any(re.search(reason, line["reason"]) for reason in reasons)
    ]
    print("\n".join(dict.fromkeys(wrong)))
    print(
        ", ".join(f"{counts[name]} {name}" for name in ["passed", "failed", "skipped"])
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
