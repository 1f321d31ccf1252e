"""
The build backend: Django's own, which is setuptools', on Django's released
sources with our commits. setuptools reads setup.cfg of this repository as well
(DIST_EXTRA_CONFIG), whose tag_build is our part of the version.
"""

import contextlib
import functools
import os

from overlay import ROOT, OverlayError, checkout, commits, one_line, releases, sources
from overlay.environment import OURS

try:
    from setuptools import build_meta
except ImportError:
    raise SystemExit(
        f"{OURS}The build needs setuptools: run python -m pip install "
        '"setuptools>=83", or leave out --no-build-isolation.'
    ) from None


def hook(function):
    """
    Have `function` take what PEP 517 passes, and end the build with one line
    on an OverlayError.
    """

    @functools.wraps(function)
    def wrapper(directory, config_settings=None, metadata_directory=None):
        try:
            return function(os.path.abspath(directory), _version(config_settings))
        except OverlayError as error:
            message = one_line(error)
        raise SystemExit(f"{OURS}{message}")

    return wrapper


@hook
def build_wheel(directory, version):
    """Write the wheel of the patched Django and return its name."""
    with _patched(version, "django/"):
        return build_meta.build_wheel(directory)


@hook
def build_sdist(directory, version):
    """Write its sdist, which needs nothing of this repository."""
    with _patched(version, ""):
        return build_meta.build_sdist(directory)


@hook
def build_editable(directory, version):
    """Write the wheel that installs the checkout, made if needed (PEP 660)."""
    tree = checkout.default_directory(version)
    if not tree.exists():
        checkout.checkout(tree, version)
    with _at(tree):
        return build_meta.build_editable(directory)


@contextlib.contextmanager
def _patched(version, prefix):
    def wanted(path):
        # No wheel has these.
        others = ("docs", "js_tests", "tests") if prefix else ()
        return path.partition("/")[0] not in others

    with sources.unpacked(version, wanted=wanted) as tree:
        commits.apply(tree, version, prefix)
        project = tree / "pyproject.toml"
        summary = 'description = "Patched to survive fork() (ticket #36957). '
        text = project.read_text("utf-8").replace('description = "', summary, 1)
        project.write_text(text, "utf-8")
        with _at(tree):
            yield


@contextlib.contextmanager
def _at(tree):
    os.environ["DIST_EXTRA_CONFIG"] = str(ROOT / "setup.cfg")
    # The oldest date that a wheel can hold, so that builds are the same.
    os.environ.setdefault("SOURCE_DATE_EPOCH", "315532800")
    with contextlib.chdir(tree):
        yield


def _version(config_settings):
    settings = dict(config_settings or {})
    version = settings.pop("django", None)
    if settings or not isinstance(version, str | None):
        raise OverlayError(
            "The one setting that there is names a release of Django, once: "
            f"--config-settings=django={releases.NEWEST}."
        )
    return releases.usable(version)
