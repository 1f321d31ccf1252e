import subprocess
import sys

from overlay import ROOT


def test_counts_tests_of_unittest_and_pytest(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "Ran 145 tests in 9.057s\n\nOK (skipped=67, expected failures=9)\n"
        "Ran 10 tests in 1.000s\n\nFAILED (failures=1, errors=2, skipped=3)\n"
        "Ran 1 test in 1.000s\n\nOK\n"
        "== 1 failed, 480 passed, 2 skipped, 1 error in 251.03s (0:04:11) ==\n"
        "fork: 19 tests, 12 passed, 7 failed\n"
    )
    printed = subprocess.check_output(
        [sys.executable, ROOT / ".ci" / "count.py", log], text=True
    )
    assert printed == "563 passed, 5 failed, 72 skipped\n"
