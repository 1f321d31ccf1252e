"""The releases of Django that the fork is kept for."""

import re
import sys
from typing import NamedTuple

from overlay.errors import OverlayError

LOCAL = "fork.4"


class Release(NamedTuple):
    """
    A release of Django: its version, the lowest Python that it runs on, the
    sha256 of its sdist, and the digest of the files in its wheel.
    """

    version: str
    python: tuple[int, int]
    sdist_sha256: str
    wheel_digest: str


RELEASES = {
    release.version: release
    for release in (
        Release(
            version="5.2.19",
            python=(3, 10),
            sdist_sha256=(
                "ad03d8abc51dbff95ebf34b27123cf0c26a3b62db7ba0cd520783686362533d1"
            ),
            wheel_digest=(
                "59e00769c68fba9df925ada78bc1ba2f620e23a0beea87ca74e3ab3d1d7a9770"
            ),
        ),
        Release(
            version="6.0.10",
            python=(3, 12),
            sdist_sha256=(
                "6005d030df924f85088454c18bd35dcf082b058aa355ad3df520d8de9aef9f41"
            ),
            wheel_digest=(
                "2390b5d66ad6c770bb54cfd9109cfcad67c94520068db498bc9c84aac775cf7c"
            ),
        ),
        Release(
            version="6.1.3",
            python=(3, 12),
            sdist_sha256=(
                "b5d2d9e35295065d13b1927b3f19a59bd119f737aa6299def14ccca1ae3c8c0d"
            ),
            wheel_digest=(
                "fb6529bb68783024801e72e10fa191f0005c46944efc79693ee216e18cdf280b"
            ),
        ),
    )
}

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:(?:a|b|rc)\d+)?", re.ASCII)


def series(version):
    """
    Return the feature release that `version` belongs to, as (major, minor).

    Raise OverlayError for what is not a version of Django.
    """
    match = _VERSION.fullmatch(version)
    if not match:
        raise OverlayError(
            f"{version!r} is not a version of Django: name a release such as "
            f"{newest()}."
        )
    return int(match[1]), int(match[2])


def of_series(version):
    """Return the Release of the series that `version` belongs to, or None."""
    for release in RELEASES.values():
        if series(release.version) == series(version):
            return release


def check(version):
    """
    Raise OverlayError for what is not a version of Django, or is older than
    those of RELEASES.
    """
    if series(version) < min(map(series, RELEASES)):
        raise OverlayError(
            f"The fork is not kept for Django {version}: name one of "
            f"{', '.join(RELEASES)}."
        )


def usable(version=None):
    """
    Return `version`, or the newest pinned release that the running Python
    runs. Raise OverlayError for what isn't one, or where this Python is too
    old for it.
    """
    if version is None:
        version = default(sys.version_info)
    check(version)
    release = RELEASES.get(version)
    if release and sys.version_info < release.python:
        raise OverlayError(
            "Django %s needs Python %d.%d or later and this is Python %d.%d: use a "
            "newer one, or Django %s."
            % (
                version,
                *release.python,
                *sys.version_info[:2],
                default(sys.version_info),
            )
        )
    return version


def newest():
    """Return the version of the newest of the pinned releases."""
    return max(RELEASES, key=lambda version: tuple(map(int, version.split("."))))


def default(python=sys.version_info):
    """
    Return the version of the newest pinned release that `python`, a version
    tuple, can run.

    Raise OverlayError where there is none.
    """
    supported = [
        release.version
        for release in RELEASES.values()
        if release.python <= tuple(python[:2])
    ]
    if not supported:
        lowest = min(release.python for release in RELEASES.values())
        raise OverlayError(
            "Python %d.%d runs none of the releases of Django that are supported "
            "here: use Python %d.%d or later." % (*python[:2], *lowest)
        )
    return max(supported, key=lambda version: tuple(map(int, version.split("."))))
