"""The releases of Django that the commits are kept for."""

import re
import sys

from overlay import OverlayError

# Each with the lowest Python that it runs on and the sha256 of its sdist.
RELEASES = {
    "5.2.19": (
        (3, 10),
        "ad03d8abc51dbff95ebf34b27123cf0c26a3b62db7ba0cd520783686362533d1",
    ),
    "6.0.10": (
        (3, 12),
        "6005d030df924f85088454c18bd35dcf082b058aa355ad3df520d8de9aef9f41",
    ),
    "6.1.3": (
        (3, 12),
        "b5d2d9e35295065d13b1927b3f19a59bd119f737aa6299def14ccca1ae3c8c0d",
    ),
}
NEWEST = list(RELEASES)[-1]


def series(version):
    """
    Return the feature release that `version` belongs to, as (major, minor).
    Raise OverlayError for what isn't a version of Django.
    """
    match = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)?((a|b|rc)\d+)?", version, re.ASCII)
    if not match:
        raise OverlayError(
            f"{version!r} is not a version of Django: name one such as {NEWEST}."
        )
    return int(match[1]), int(match[2])


def usable(version=None):
    """
    Return `version`, or the newest of RELEASES that the running Python runs.
    Raise OverlayError for one that is older than these, or that it can't run.
    """
    running = [each for each, (python, _) in RELEASES.items() if can_run(python)]
    if version is None:
        return running[-1]
    old = series(version) < min(map(series, RELEASES))
    if old or (version in RELEASES and version not in running):
        raise OverlayError(
            f"Django {version} can't be patched for Python "
            f"{sys.version_info.major}.{sys.version_info.minor}: name one of "
            f"{', '.join(running)}."
        )
    return version


def can_run(python):
    """Return whether the running Python is as new as `python`, a tuple."""
    return sys.version_info >= python
