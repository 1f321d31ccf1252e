"""
The build backend: the hooks of PEP 517 and PEP 660.

What they share with the commands needs packages that --no-build-isolation can
leave out, so it is imported after these were looked for.
"""

import functools
import importlib.metadata
import re

from overlay import environment, releases, sdist
from overlay.errors import OverlayError


def hook(function):
    """Make `function` end the build with one line on an OverlayError."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except OverlayError as error:
            message = " ".join(str(error).split())
        raise SystemExit(f"overlay: error: {message}")

    return wrapper


@hook
def get_requires_for_build_wheel(config_settings=None):
    """Return the released Django, which is patched, and what patches it."""
    return _requirements(_version(config_settings))


@hook
def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    """Write the dist-info directory, but for RECORD, and return its name."""
    version = _version(config_settings)
    wheel = _wheel(version)
    files = wheel.metadata(wheel.released(version), version)
    return wheel.write_metadata(metadata_directory, files, version)


@hook
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Write the wheel of the patched Django and return its name."""
    version = _version(config_settings)
    wheel = _wheel(version)
    files = wheel.forked(wheel.released(version), version)
    return wheel.write(wheel_directory, files, version)


@hook
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """Write the wheel that installs the checkout and return its name."""
    version = _version(config_settings)
    wheel = _wheel(version)
    files = wheel.editable(wheel.released(version), version)
    return wheel.write(wheel_directory, files, version)


@hook
def build_sdist(sdist_directory, config_settings=None):
    """Write the sdist of this repository and return its name."""
    return sdist.write(sdist_directory, _version(config_settings))


get_requires_for_build_editable = get_requires_for_build_wheel
prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def _version(config_settings):
    """
    Return the version of Django to build on: the one that this sdist is for,
    the one in `config_settings`, or the newest that the running Python runs.
    """
    settings = dict(config_settings or {})
    carried = sdist.carried()
    version = settings.pop("django", carried or releases.usable())
    if not isinstance(version, str):
        raise OverlayError(
            f"--config-settings=django=... takes one release and was given {version!r}."
        )
    if settings:
        raise OverlayError(
            f"There is no setting {', '.join(map(repr, sorted(settings)))}: the one "
            "that there is names the release of Django, "
            f"--config-settings=django={version}."
        )
    version = releases.usable(version)
    if carried and version != carried:
        raise OverlayError(
            f"This sdist is for Django {carried} and can't be built for {version}: "
            "leave out --config-settings, or build from the repository."
        )
    return version


def _requirements(version):
    # Django==6.1.3 would also match 6.1.3+fork.2, which is patched already.
    return [f"Django==={version}", *environment.TOOLS]


def _wheel(version):
    missing = []
    for requirement in _requirements(version):
        try:
            importlib.metadata.version(re.match(r"\w+", requirement)[0])
        except importlib.metadata.PackageNotFoundError:
            missing.append(f'"{requirement}"')
    if missing:
        raise OverlayError(
            f"The build needs {' and '.join(missing)}: run python -m pip install "
            f"{' '.join(missing)}, or leave out --no-build-isolation."
        )
    from overlay import wheel

    return wheel
