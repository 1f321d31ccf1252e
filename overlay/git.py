"""Git, as a function."""

import os
import subprocess

from overlay.errors import OverlayError

# The user's configuration has no say in what is made with these: signing,
# templates, line endings.
ISOLATED = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_PARAMETERS": "",
    "GIT_TEMPLATE_DIR": "",
}

_OPTIONS = (
    # To look at a repository is not to write to it.
    "--no-optional-locks",
    # No housekeeping in the background, which would outlive the command.
    *("-c", "gc.auto=0", "-c", "maintenance.auto=false"),
    # The user's hooks are for the user's own commands.
    *("-c", f"core.hooksPath={os.devnull}"),
)


def git(directory, *arguments, environ={}, stdin=b""):
    """
    Run git in `directory` with the variables `environ` and the bytes `stdin`,
    and return its standard output, in bytes.

    Raise OverlayError where there is no git and where it fails.
    """
    process = run(directory, *arguments, environ=environ, stdin=stdin)
    if process.returncode:
        lines = process.stderr.decode(errors="replace").strip().splitlines()
        errors = [line for line in lines if line.startswith(("error: ", "fatal: "))]
        raise OverlayError(
            f"git {arguments[0]} failed in {directory}: "
            f"{(errors or lines or [f'exit status {process.returncode}'])[0]}"
        )
    return process.stdout


def run(directory, *arguments, environ={}, stdin=b""):
    """Like git(), but return the completed process, whatever its status."""
    try:
        return subprocess.run(
            ["git", "-C", str(directory), *_OPTIONS, *arguments],
            env={
                **{
                    variable: value
                    for variable, value in os.environ.items()
                    # GIT_DIR and the like are set where a hook runs this.
                    if not variable.startswith("GIT_")
                    or variable.startswith("GIT_CONFIG_")
                },
                "LC_ALL": "C",
                **environ,
            },
            input=stdin,
            capture_output=True,
        )
    except FileNotFoundError:
        raise OverlayError("git is needed and isn't installed: install it.") from None


def path(directory, name):
    """Return the path of the file `name` that git keeps for `directory`."""
    return directory / git(directory, "rev-parse", "--git-path", name).decode().strip()
