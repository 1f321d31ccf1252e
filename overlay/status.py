"""Whether the fork applies to Django's releases, and what is pinned."""

import re
import sys
import tempfile
import zipfile
from pathlib import Path

from overlay import ROOT, environment, manifest, releases, sources, wheel
from overlay.errors import OverlayError
from overlay.files import File, reader


def status(root=ROOT):
    """
    Yield a sentence for each release that is pinned and for the newest of each
    series that there is in the package index, and whether all of it is right.

    Raise OverlayError where pip can't tell which releases there are.
    """
    for version in _newest({*releases.RELEASES, *_available()}):
        pinned = releases.RELEASES.get(version)
        try:
            sha256, digest = look(version, root)
        except OverlayError as error:
            yield f"{version}: {error}", False
            continue
        if not pinned and releases.of_series(version):
            yield (
                f"{version}: every hunk applies. It is not pinned: run 'overlay pin "
                f"{version}'."
            ), True
        elif not pinned:
            yield (
                f"{version}: every hunk applies. It is not pinned: add it to "
                f'overlay/releases.py, with sdist_sha256="{sha256}" and '
                f'wheel_digest="{digest}".'
            ), True
        elif digest != pinned.wheel_digest:
            yield f"{version}: its wheel has other files than the pinned one.", False
        else:
            yield f"{version}: pinned, as released, and every hunk applies.", True


def look(version, root=ROOT):
    """
    Return the digests of Django `version`'s sdist and of the files in its
    wheel, as releases.RELEASES has them.

    Raise OverlayError where a hunk doesn't apply, or pip can't download it.
    """
    archive = sources.sdist(version)
    changes = manifest.changes(version, root)
    manifest.applied(reader(sources.files(archive)), changes, version, root)
    return sources.sha256(archive), wheel_digest(version)


def wheel_digest(version):
    """
    Return the digest of the files in Django's wheel of `version`, as
    releases.RELEASES has it. Raise OverlayError where pip can't download it.
    """
    with tempfile.TemporaryDirectory() as directory:
        _pip(
            *("download", "--quiet", "--no-deps", "--only-binary=django"),
            *("--ignore-requires-python", f"--dest={directory}"),
            f"Django==={version}",
        )
        (path,) = Path(directory).glob("*.whl")
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
    return wheel.digest(
        {
            name: File(content)
            for name, content in contents.items()
            if wheel.is_released(name)
        }
    )


def _available():
    """Return the versions of Django in the package index."""
    output = _pip("index", "versions", "--ignore-requires-python", "Django")
    _, _, found = output.partition("Available versions:")
    return re.findall(r"[\w.]+", found.partition("\n")[0])


def _newest(versions):
    """
    Return those of `versions` that are pinned or the newest of their series,
    the oldest first, without series that are older than all that are pinned.
    """
    numbers = {
        version: tuple(map(int, version.split(".")))
        for version in versions
        if re.fullmatch(r"\d+(\.\d+)+", version)
    }
    newest = {}
    for version in sorted(numbers, key=numbers.get):
        newest[numbers[version][:2]] = version
    oldest = min(map(releases.series, releases.RELEASES))
    wanted = {version for series, version in newest.items() if series >= oldest}
    return sorted(wanted | set(releases.RELEASES), key=numbers.get)


def _pip(*arguments):
    process = environment.pip(sys.executable, *arguments)
    if process.returncode:
        raise OverlayError(
            f"pip {arguments[0]} fails: {environment.last_error(process.stdout)}"
        )
    return process.stdout
