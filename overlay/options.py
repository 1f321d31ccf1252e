"""What options of several commands mean."""

import sys

from overlay import releases
from overlay.errors import OverlayError


def release(version=None):
    """
    Return `version`, or the newest pinned release that the running Python
    runs. Raise OverlayError for what isn't one, or for another Python.
    """
    version = version or releases.default()
    releases.check(version)
    pinned = releases.RELEASES.get(version)
    if pinned and sys.version_info < pinned.python:
        raise OverlayError(
            "Django %s needs Python %d.%d or later and this is Python %d.%d: use a "
            "newer one, or Django %s."
            % (version, *pinned.python, *sys.version_info[:2], releases.default())
        )
    return version
