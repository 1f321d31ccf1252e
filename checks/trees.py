"""What runs are made on: the fork's tree and wheel, kept until they change."""

import contextlib
import fcntl
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from overlay import BUILD, ROOT, checkout, environment, manifest
from overlay.console import say
from overlay.errors import OverlayError


@contextlib.contextmanager
def tree(version, stock=False, commits=None, root=ROOT, build=BUILD):
    """
    Yield the path of a checkout of Django `version` with the fork as it is in
    `root` now: with `stock`, with its tests alone; with `commits`, a number,
    with the first so many commits.

    Raise OverlayError where it can't be made, or hasn't so many commits.
    """
    changes = manifest.changes(version, root)
    if commits is not None and not 0 < commits <= len(changes):
        raise OverlayError(
            f"The fork of Django {version} has {len(changes)} commits: name a number "
            f"from 1 to {len(changes)} instead of {commits}."
        )
    changes = changes[:commits]
    if stock:
        changes = manifest.within("tests/", changes)

    def make(path):
        checkout.checkout(path, version, root, changes)

    name = f"stock-{version}" if stock else version
    if commits:
        name += f"-{commits}"
    with _kept(build / "tests" / name, root, make) as path:
        yield path


@contextlib.contextmanager
def wheel(version):
    """
    Yield the path of the fork's wheel for Django `version`, as pip builds it
    of this repository. Raise OverlayError where it can't be built.
    """

    def make(path):
        say(f"Building the fork of Django {version} with pip ...")
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as beside:
            build = environment.pip(
                sys.executable,
                *("wheel", "--quiet", "--no-deps", "--wheel-dir", f"{beside}/made"),
                # Its short form, -C, is younger than Debian's pip.
                *("--config-settings", f"django={version}", str(ROOT)),
            )
            if build.returncode:
                raise OverlayError(f"pip can't build the fork: {_reason(build.stdout)}")
            Path(beside, "made").rename(path)

    with _kept(BUILD / "wheels" / version, ROOT, make) as path:
        yield next(path.glob("*.whl"))


def fingerprint(root):
    """Return a short digest of all that makes the fork in `root`."""
    changes = manifest.changes(root=root)
    names = [name for change in changes for name in change.paths.values()]
    files = [manifest.source(name, root)[0] for name in names]
    files += [root / manifest.NAME, *(root / "overlay").glob("*.py")]
    digest = hashlib.sha256()
    for file in sorted(files):
        name, content = file.relative_to(root), file.read_bytes()
        digest.update(b"%b %d\n%b" % (bytes(name), len(content), content))
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _kept(directory, root, make):
    """
    Yield the path in `directory` for the fork as it is in `root` now, made
    with `make` if it is missing. Those of other states are removed, unless
    they are in use.
    """
    path = directory / fingerprint(root)
    with contextlib.ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(_lock(path), "w"))
            # Shared at first: whoever uses it may start others that do, too.
            fcntl.flock(lock, fcntl.LOCK_SH)
            while not path.exists():
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not path.exists():
                    make(path)
                fcntl.flock(lock, fcntl.LOCK_SH)
            for other in directory.glob("[!.]*/"):
                if other != path:
                    _remove(other)
        except OSError as error:
            raise OverlayError(
                f"{directory} can't be written ({error.strerror}): make it writable, "
                "or work in a copy of this repository that is."
            ) from None
        yield path


def _remove(path):
    with open(_lock(path), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(path)


def _lock(path):
    return path.with_name(f"{path.name}.lock")


def _reason(output):
    lines = [line.strip() for line in output.splitlines()]
    ours = [line for line in lines if line.startswith("overlay: error: ")]
    return (
        ours[0].removeprefix("overlay: error: ")
        if ours
        else (environment.last_error(output))
    )
