"""A newer release of a series in place of the one that is pinned."""

import contextlib
import re

from overlay import ROOT, files, releases, status
from overlay.errors import OverlayError
from overlay.git import git

# What was measured, and what was released, stays with what it was.
HISTORY = re.compile(r"CHANGELOG\.md|docs/releases/.*|.*\.json")
PRINTED = r"(<!-- (\w+): begin -->.*?<!-- \2: end -->)"


def pin(version, root=ROOT):
    """
    Put Django `version` in place of the release of its series, wherever that
    is named in the git repository `root`, and what its files are in place of
    what those were. Return the files that were written, all or none.

    Raise OverlayError for a release to which not every hunk applies, and for a
    series that isn't kept.
    """
    old = releases.of_series(version)
    if not old:
        raise OverlayError(
            f"There is no release of Django {version}'s series yet: add one to "
            "overlay/releases.py, with what 'overlay status' prints."
        )
    if version == old.version:
        raise OverlayError(f"Django {version} is pinned already: name a newer one.")
    sha256, digest = status.look(version, root)
    # Not where it is a part of another one, as of 6.1.30.
    named = rf"(?<![\d.]){re.escape(old.version)}(?!\.?\d)"
    either = re.compile(f"{PRINTED}|{named}", re.DOTALL)
    contents = {}
    for name in git(root, "ls-files", "-z").decode().split("\0")[:-1]:
        before = (root / name).read_bytes()
        if HISTORY.fullmatch(name) or old.version.encode() not in before:
            continue
        after = either.sub(lambda match: match[1] or version, before.decode())
        if after.encode() != before:
            contents[root / name] = after.encode()
    pins = root / "overlay/releases.py"
    for was, new in [(old.sdist_sha256, sha256), (old.wheel_digest, digest)]:
        contents[pins] = contents[pins].replace(was.encode(), new.encode())
    with contextlib.ExitStack() as stack:
        for file, content in contents.items():
            beside = stack.enter_context(files.replacing(file))
            beside.write_bytes(content)
    return sorted(contents)
