"""What runs are made on: a tree and a wheel, kept until they change."""

import contextlib
import fcntl
import hashlib
import shutil
import tempfile
from pathlib import Path

from overlay import BUILD, ROOT, OverlayError, commits, environment, say, sources


@contextlib.contextmanager
def tree(version, stock=False):
    """
    Yield the path of Django `version`: with our commits as they are in this
    repository now or, with `stock`, with their tests alone.
    """
    name = f"stock-{version}" if stock else version

    def make(path):
        say(f"Unpacking Django {version} ...")
        with sources.unpacked(version, path.parent) as tree:
            commits.apply(tree, version, "tests/" if stock else "")
            tree.replace(path)

    with _kept(BUILD / "tests" / name, make) as path:
        yield path


@contextlib.contextmanager
def wheel(version):
    """
    Yield the path of the wheel of patched Django `version`, as pip builds it
    of this repository. Raise OverlayError where it can't be built.
    """

    def make(path):
        say(f"Building the patched Django {version} with pip ...")
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as beside:
            build = environment.pip(
                environment.with_pip(),
                *("wheel", "--quiet", "--no-deps", "--wheel-dir", f"{beside}/made"),
                # Its short form, -C, is younger than Debian's pip.
                *("--config-settings", f"django={version}", str(ROOT)),
            )
            if build.returncode:
                reason = environment.last_error(build.stdout)
                raise OverlayError(f"pip can't build it: {reason}")
            Path(beside, "made").rename(path)

    with _kept(BUILD / "wheels" / version, make) as path:
        yield next(path.glob("*.whl"))


def fingerprint():
    """Return a short digest of all that makes the patched Django."""
    files = [*commits.paths(), *(ROOT / "overlay").glob("*.py")]
    files += [ROOT / path for each in commits.commits() for path in each.added]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(b"%b %b\n" % (bytes(file.relative_to(ROOT)), file.read_bytes()))
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _kept(directory, make):
    """
    Yield the path in `directory` for the patched Django as it is here now,
    made with `make` if it is missing. Those of other states are removed,
    unless they are in use.
    """
    path = directory / fingerprint()
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
