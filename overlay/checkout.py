"""
The patched Django as a git repository, and what is edited there back in this
one.
"""

import contextlib
import os
import re
import subprocess
from difflib import SequenceMatcher
from pathlib import Path

from overlay import BUILD, ROOT, OverlayError, releases, say, sources
from overlay.commits import commits, made, parse, paths, write

# Nobody's: whoever submits the commits becomes their author. The developer's
# own configuration, as of signing and line endings, has no say.
NOBODY = {
    **{f"GIT_{who}_NAME": "Django fork overlay" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "overlay@invalid" for who in ("AUTHOR", "COMMITTER")},
    **{"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
}

# What running and editing leaves behind.
JUNK = "__pycache__/\n*.py[co]\n*.orig\n*.rej\n*~\n*.sw[op]\n*.egg-info/\n/build/\n"


def git(directory, *arguments, environ={}, stdin=""):
    """Return what git prints. Raise OverlayError where it fails."""
    try:
        process = subprocess.run(
            # No housekeeping that outlives the command, and no user's hooks.
            ["git", "-C", directory, "-c", "gc.auto=0"]
            + ["-c", f"core.hooksPath={os.devnull}", *arguments],
            # GIT_DIR and the like are set where a hook runs this.
            env={k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
            | {"LC_ALL": "C.UTF-8", **environ},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
        )
    except FileNotFoundError:
        raise OverlayError("git is needed and isn't installed: install it.") from None
    if process.returncode:
        said = process.stderr.strip() or f"exit status {process.returncode}"
        raise OverlayError(f"git {arguments[0]} in {directory}: {said}")
    return process.stdout


def default_directory(version):
    """Return the path of the checkout of Django `version` under build/."""
    return BUILD / f"django-{version}"


def checkout(directory, version):
    """
    Make the git repository `directory`: Django `version` as its first commit,
    then all Commits. Return its path. Raise OverlayError where it can't be
    made; nothing is left then.
    """
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise OverlayError(f"{directory} is not empty: remove it, or name another one.")
    changes = commits()
    say(f"Checking out Django {version} with {len(changes)} commits on top ...")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with sources.unpacked(version, directory.parent) as tree:
        git(tree, "init", "--quiet", "--initial-branch=main", environ=NOBODY)
        (tree / ".git/info/exclude").write_text(JUNK)
        git(tree, "add", "--all", "--force", environ=NOBODY)
        git(tree, "commit", "--quiet", f"--message=Django {version}", environ=NOBODY)
        commit_all(tree, changes, version, NOBODY)
        tree.replace(directory)
    return directory


def commit_all(tree, changes, version, environ={}):
    """
    Commit `changes` in the git repository `tree`, which is Django `version`.
    Raise OverlayError where one doesn't apply.
    """
    skipped = set()
    for change in changes:
        texts = made(change, tree, version)
        skipped.update(change.changed.keys() - texts.keys())
        write(tree, texts)
        git(tree, "add", "--all", environ=environ)
        options = ("--quiet", "--allow-empty", "--file=-")
        git(tree, "commit", *options, environ=environ, stdin=change.message)
    if skipped:
        say(f"For later series, and left out: {', '.join(sorted(skipped))}.")


def export(directory):
    """
    Bring the commits of the checkout `directory` back into this repository, as
    patches that apply to each of RELEASES. Return the paths of what changed.

    Raise OverlayError for what isn't a checkout, for edits that are in no
    commit, in the midst of a rebase, for hunks that apply nowhere, and where
    something else would be lost here; nothing is written then.
    """
    directory = Path(directory)
    if not (directory / ".git").exists():
        raise OverlayError(f"{directory} is not what 'overlay checkout' made.")
    log = git(directory, "log", "--reverse", "--format=%H %s").splitlines()
    (base, subject), *rest = [line.split(" ", 1) for line in log]
    if not subject.startswith("Django "):
        raise OverlayError(f"{directory} is not what 'overlay checkout' made.")
    version = subject.removeprefix("Django ")
    branch, *edited = git(directory, "status", "--porcelain", "--branch").splitlines()
    if "(no branch)" in branch:
        raise OverlayError(f"{directory} is not on a branch: end the rebase.")
    if edited:
        raise OverlayError(
            f"{directory} has changes that are in no commit: git commit --fixup=COMMIT "
            f"and git -c sequence.editor=: rebase -i --autosquash {base[:12]}."
        )
    texts, options = {}, ("--format=", "--name-only", f"{base}..HEAD")
    changed = set(git(directory, "log", *options).split())
    with contextlib.ExitStack() as stack:
        trees = {
            release: stack.enter_context(
                sources.unpacked(release, wanted=changed.__contains__)
            )
            for release in sorted({*releases.RELEASES, version})
        }
        old = dict(enumerate(paths(), 1))
        for number, (commit, subject) in enumerate(rest, 1):
            options = ("--name-only", "--diff-filter=A", f"{commit}^", commit)
            added = git(directory, "diff", *options).split()
            for path in added:
                if git(directory, "diff", "--name-only", commit, "HEAD", "--", path):
                    raise OverlayError(
                        f"{path} is added by {subject!r} and changed later: make it "
                        "one commit's."
                    )
                texts[path] = git(directory, "show", f"{commit}:{path}")
            name = re.sub(r"\W+", "-", subject.partition(" -- ")[2]).strip("-")
            patch = f"django/{number:04}-{name}.patch"
            texts[patch] = _serving(directory, commit, added, trees, old.get(number))
    return _replace(texts)


def _serving(directory, commit, added, trees, old):
    """
    Return the text of the patch of `commit`, which adds the files `added`,
    with as much context as applies to each of `trees`, by version, and apply
    it there. What the patch `old` has for files of later releases is kept.
    """
    message = git(directory, "show", "--no-patch", "--format=%B", commit).strip()
    text = "\n".join([message, "---", *added, "", ""])
    options = ("--name-only", "--diff-filter=M", f"{commit}^", commit)
    for path in git(directory, "diff", *options).split():
        before, after = [
            git(directory, "show", f"{each}:{path}").splitlines(keepends=True)
            for each in (f"{commit}^", commit)
        ]
        for context in (3, 2, 1):
            part = _diff(path, before, after, context)
            try:
                results = [
                    (tree, made(parse(part), tree, each))
                    for each, tree in trees.items()
                ]
                break
            except OverlayError as error:
                reason = error
        else:
            raise OverlayError(f"{directory}: {reason}")
        for tree, result in results:
            write(tree, result)
        text += part
    sections = re.split(r"(?m)^(?=diff --git )", old.read_text("utf-8") if old else "")
    for section in sections[1:]:
        if not (directory / re.match(r"diff --git a/(\S+)", section)[1]).exists():
            text += section
    return text


def _diff(path, old, new, context):
    """Like difflib.unified_diff(), but take no line for junk."""
    diff = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n"
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for group in matcher.get_grouped_opcodes(context):
        (_, i, _, j, _), (_, _, end_i, _, end_j) = group[0], group[-1]
        diff += f"@@ -{i + 1},{end_i - i} +{j + 1},{end_j - j} @@\n"
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                diff += "".join(f" {line}" for line in old[i1:i2])
            else:
                diff += "".join(f"-{line}" for line in old[i1:i2])
                diff += "".join(f"+{line}" for line in new[j1:j2])
    return diff


def _replace(texts):
    """Write `texts`, by path, in place of all patches and what they add."""
    current = {f"django/{path.name}" for path in paths()}
    current.update(path for commit in commits() for path in commit.added)
    changed = {
        path: text
        for path, text in texts.items()
        if not (ROOT / path).exists() or (ROOT / path).read_text("utf-8") != text
    }
    gone = sorted(current - texts.keys())
    if (ROOT / ".git").exists() and (changed or gone):
        edited = git(ROOT, "status", "--porcelain", "--", *changed, *gone)
        if edited:
            raise OverlayError(
                "What would be replaced here has changes that are in no commit: "
                f"commit or undo them. {edited}"
            )
    write(ROOT, changed)
    for path in gone:
        (ROOT / path).unlink()
    return [ROOT / path for path in sorted([*changed, *gone])]
