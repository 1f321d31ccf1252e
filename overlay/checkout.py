"""The full fork as a git repository: Django's release, then our commits."""

import tempfile
from pathlib import Path

from overlay import BUILD, ROOT, manifest, sources
from overlay.console import say
from overlay.errors import OverlayError
from overlay.export import remember
from overlay.files import File, reader
from overlay.git import ISOLATED, git

# Nobody's: whoever submits the commits becomes their author.
AUTHOR = ("Django fork overlay", "overlay@django.invalid")

BRANCH = "main"

# What running and editing leaves behind, for .git/info/exclude.
JUNK = """\
__pycache__/
*.py[cod]
*.egg-info/
*.orig
*.rej
*.sw[op]
*~
.coverage*
.DS_Store
/build/
/dist/
/docs/_build/
"""


def default_directory(version):
    """Return the path of the checkout of Django `version` under build/."""
    return BUILD / f"django-{version}"


def checkout(directory, version, root=ROOT, changes=None):
    """
    Make the git repository `directory`: Django `version` as its first commit,
    then one commit for each of `changes`, which are the manifest's unless they
    are given. The commits' date is the release's.

    Return the path. Raise OverlayError where `directory` isn't empty or can't
    be made, and for what sdist() and patched() raise; nothing is left then.
    """
    directory = Path(directory)
    if changes is None:
        changes = manifest.changes(version, root)
    for change in changes:
        for name in change.paths.values():
            manifest.source(name, root)
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        if (directory / ".git").exists():
            # As pip install -e makes it, too.
            raise OverlayError(
                f"{directory} is a checkout already: work in it, remove it, or name "
                "another directory."
            )
        raise OverlayError(
            f"{directory} is there and not empty: remove it, or name another "
            "directory."
        )
    files = sources.files(sources.sdist(version))
    contents = manifest.applied(reader(files), changes, version, root)
    say(f"Checking out Django {version} with {len(changes)} commits on top ...")
    date = files["PKG-INFO"].time
    stream = [
        *_commit(f"Django {version}\n", AUTHOR, date, files),
        *commits(changes, contents, files, AUTHOR, date),
    ]
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{directory.name}-", dir=directory.parent
        ) as beside:
            _make(beside, b"".join(stream))
            remember(Path(beside, "tree"), root, changes)
            Path(beside, "tree").replace(directory)
    except OSError as error:
        raise OverlayError(
            f"{directory} can't be made ({error.strerror}): name a directory that "
            "can be."
        ) from None
    return directory


def _make(beside, stream):
    tree = Path(beside, "tree")
    branch = f"--initial-branch={BRANCH}"
    git(beside, "init", "--quiet", branch, "tree", environ=ISOLATED)
    # The files are Django's and ours byte by byte, however the developer has
    # git change line endings elsewhere.
    git(tree, "config", "core.autocrlf", "false", environ=ISOLATED)
    exclude = tree / ".git/info/exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text(JUNK)
    # Many times faster than unpacking, adding, and committing, and safe from
    # paths that lead out of the directory.
    git(tree, "fast-import", "--quiet", stdin=stream, environ=ISOLATED)
    git(tree, "reset", "--quiet", "--hard", environ=ISOLATED)


def commits(changes, contents, files, author, date, branch=BRANCH):
    """
    Yield what makes git fast-import add to `branch` a commit for each of
    `changes`, with its `contents` as from manifest.applied(), on top of
    `files`.
    """
    for change, made in zip(changes, contents):
        ours = {
            path: File(content, path in files and files[path].executable)
            for path, content in made.items()
        }
        yield from _commit(change.message, author, date, ours, branch)


def _commit(message, author, date, files, branch=BRANCH):
    name, address = author
    # Its parent is what the same stream has made of the branch.
    yield f"commit refs/heads/{branch}\n".encode()
    yield f"committer {name} <{address}> {date} +0000\n".encode()
    yield _data(message.encode())
    for path, file in files.items():
        yield f"M {'100755' if file.executable else '100644'} inline {path}\n".encode()
        yield _data(file.content)


def _data(content):
    return b"data %d\n%b\n" % (len(content), content)
