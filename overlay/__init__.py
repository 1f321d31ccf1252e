"""The tooling that keeps this fork of Django as nothing but its own lines."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"

# The first line that runs, so that an old Python doesn't stumble over tomllib.
if sys.version_info < (3, 11):
    raise SystemExit(
        "overlay: error: Python 3.11 or later is needed and this is Python %d.%d: "
        "run the command with a newer one." % sys.version_info[:2]
    )
