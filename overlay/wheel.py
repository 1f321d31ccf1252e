"""The fork's wheel, made of Django's as it is installed for the build."""

import base64
import csv
import hashlib
import importlib.metadata
import io
import locale
import re
import sys
from pathlib import Path

from overlay import archives, checkout, manifest
from overlay.console import say
from overlay.errors import OverlayError
from overlay.files import File, read, reader
from overlay.releases import RELEASES
from overlay.sdist import local, name, read_version

# What an installer adds to a wheel's dist-info directory, or rewrites there:
# https://packaging.python.org/en/latest/specifications/recording-installed-packages/
INSTALLED = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"}


def released(version):
    """
    Return the files of Django `version` as in its wheel, but for RECORD: a
    dict of paths and Files, read from where Django is installed.

    Raise OverlayError where another version is installed or none, and where a
    file isn't as it was released.
    """
    reinstall = (
        f"run python -m pip install --force-reinstall Django==={version}, or leave "
        "out --no-build-isolation."
    )
    django = importlib.metadata.distribution("Django")
    if django.version != version:
        raise OverlayError(
            f"The build needs Django {version} as it was released and Django "
            f"{django.version} is installed: {reinstall}"
        )
    files = {}
    for path, recorded, _ in csv.reader(
        (django.read_text("RECORD") or "").splitlines()
    ):
        if not is_released(path):
            continue
        try:
            files[path] = read(Path(django.locate_file(path)))
        except FileNotFoundError:
            raise OverlayError(
                f"The installed Django {version} has no {path}: {reinstall}"
            ) from None
        if _hash(files[path].content) != recorded:
            raise OverlayError(
                f"{path} of the installed Django {version} is not as it was released: "
                f"{reinstall}"
            )
    if not files:
        raise OverlayError(
            f"The installed Django {version} has no record of its files: {reinstall}"
        )
    if version not in RELEASES:
        say(
            f"Django {version} is not pinned here, so its files are compared with its "
            "own RECORD only."
        )
    elif digest(files) != RELEASES[version].wheel_digest:
        raise OverlayError(
            f"The installed Django {version} has other files than the released one: "
            f"{reinstall}"
        )
    return files


def is_released(path):
    """Return whether a wheel of Django's comes with a file at `path`."""
    return _is_package(path) or _is_metadata(path)


def digest(files):
    """Return the sha256, in hex, of RECORD's lines for `files`, sorted."""
    return hashlib.sha256(_record(sorted(files.items()))).hexdigest()


def forked(files, version):
    """
    Return the files of the fork's wheel, but for RECORD, from Django's.

    Raise OverlayError for a patch that doesn't apply.
    """
    result = {path: file for path, file in files.items() if _is_package(path)}
    changes = manifest.within("django/", manifest.changes(version))
    for contents in manifest.applied(reader(files), changes, version):
        for path, content in contents.items():
            result[path] = File(content, path in files and files[path].executable)
    return result | metadata(files, version)


def editable(files, version):
    """
    Return the files of a wheel that puts the checkout of `version` under
    build/, made unless it is there, on the path (PEP 660).

    Raise OverlayError where it can't be made or is another release's.
    """
    directory = checkout.default_directory(version)
    if not directory.exists():
        checkout.checkout(directory, version)
    elif read_version(directory) == version:
        say(f"{directory} is installed as it is there.")
    else:
        raise OverlayError(
            f"{directory} is not a checkout of Django {version}: move it away."
        )
    # How Python reads .pth files: https://docs.python.org/3/library/site.html.
    encoding = "utf-8" if sys.version_info >= (3, 13) else locale.getencoding()
    try:
        content = f"{directory}\n".encode(encoding)
    except UnicodeEncodeError:
        raise OverlayError(
            f"Python can't read {directory} from a .pth file in this locale "
            f"({encoding}): use one with UTF-8, or move this repository."
        ) from None
    pth = {f"__editable__.{name(version)}.pth": File(content)}
    return pth | metadata(files, version)


def metadata(files, version):
    """
    Return the files of the fork's dist-info directory, but for RECORD, from
    Django's: the version and the generator differ.
    """
    result = {}
    for path, file in files.items():
        if _is_metadata(path):
            result[f"{_dist_info(version)}/{path.partition('/')[2]}"] = file
    for path, theirs, ours in (
        ("METADATA", f"Version: {re.escape(version)}", f"Version: {local(version)}"),
        ("WHEEL", "Generator: .*", "Generator: overlay"),
    ):
        path = f"{_dist_info(version)}/{path}"
        content = result[path].content.decode()
        # The first: the description, below the fields, may say the same.
        content = re.sub(f"(?m)^{theirs}$", ours, content, count=1)
        result[path] = File(content.encode())
    return result


def write(directory, files, version):
    """
    Write the wheel of `files`, with its RECORD, into `directory` and return
    its name. Raise OverlayError where it can't be written.
    """
    # The metadata last, as the specification of wheels recommends.
    files = sorted(files.items(), key=lambda item: (_is_metadata(item[0]), item[0]))
    record = f"{_dist_info(version)}/RECORD"
    content = _record(files) + f"{record},,\n".encode()
    wheel = f"{name(version)}-py3-none-any.whl"
    archives.write_zip(Path(directory) / wheel, [*files, (record, File(content))])
    return wheel


def write_metadata(directory, files, version):
    """
    Write `files`, as metadata() returns them, into `directory` and return the
    name of theirs. Raise OverlayError where they can't be written.
    """
    archives.write_tree(Path(directory), files.items())
    return _dist_info(version)


def _dist_info(version):
    return f"{name(version)}.dist-info"


def _is_package(path):
    # Installers compile, and list what they compiled in RECORD.
    return path.startswith("django/") and not path.endswith(".pyc")


def _is_metadata(path):
    directory, _, path = path.partition("/")
    return directory.endswith(".dist-info") and path not in INSTALLED


def _record(files):
    output = io.StringIO()
    csv.writer(output, lineterminator="\n").writerows(
        (path, _hash(file.content), len(file.content)) for path, file in files
    )
    return output.getvalue().encode()


def _hash(content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"sha256={digest.decode().rstrip('=')}"
