"""
Virtual environments under build/, made on first use and kept.

Nothing but the standard library is used here, since it runs before anything
is installed.
"""

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from overlay import BUILD, OverlayError, say

try:
    import fcntl
except ImportError:  # Windows, where two runs at once are not kept apart.
    fcntl = None

# What a pip that we run must not have from the one that builds this project
# (the last three, by which it would take our backend for Django's), nor from
# the user's own ones.
FOREIGN = (
    *("PYTHONPATH", "PYTHONHOME", "PIP_CONSTRAINT"),
    *("PIP_BUILD_TRACKER", "PEP517_", "_PYPROJECT_HOOKS_"),
)
# How our build backend begins what it says.
OURS = "overlay: error: "
EXECUTABLE = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")


def python(name, requirements):
    """
    Return the Python of the environment `name`, made with pip's `requirements`
    if it is missing or has others. Raise OverlayError where it can't be made.
    """
    directory = BUILD / "venv" / "{}-py{}{}".format(name, *sys.version_info[:2])
    # The path, since an environment doesn't survive being moved.
    state = ["%d.%d.%d" % sys.version_info[:3], str(directory), *requirements]
    complete = directory / "complete.json"
    if not _holds(complete, state):
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _lock(directory.with_name(f"{directory.name}.lock")):
            if not _holds(complete, state):
                _make(directory, requirements)
                complete.write_text(json.dumps(state))
    return directory / EXECUTABLE


def packages(executable):
    """Return the directory with the packages of an environment's Python."""
    (directory,) = executable.parent.parent.glob("[Ll]ib/**/site-packages")
    return directory


def bootstrap(name, requirements):
    """
    Run the running command again in the environment `name`, made if needed,
    unless it runs there already.
    """
    executable = python(name, requirements)
    if Path(sys.prefix).resolve() == executable.parent.parent.resolve():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(executable, [str(executable), *sys.orig_argv[1:]])


@functools.cache
def with_pip():
    """
    Return a Python that has pip: the running one, the one that made its
    environment, as ours have none, or one of an environment, as uv's has none.
    """
    for executable in (sys.executable, sys._base_executable):
        if pip(executable, "--version").returncode == 0:
            return executable
    return python("pip", [])


def pip(executable, *arguments):
    """
    Run pip of the Python `executable`, cut off from the running one's paths
    and from constraints, which are for the user's own projects. Return the
    completed process, with its whole output as text in `stdout`.
    """
    command = [executable, "-I", "-m", "pip", "--disable-pip-version-check"]
    return _run(
        [*command, "--no-input", *arguments],
        env={k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)},
    )


def last_error(output):
    """Return the line of `output`, pip's or venv's, that says what failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith(OURS)]
    errors = [line for line in lines if line.lower().startswith("error")]
    full = [line for line in lines if "No space left on device" in line]
    said = ours or full or errors or lines or ["it printed nothing"]
    return said[-1].removeprefix(OURS)


def _holds(complete, state):
    with contextlib.suppress(OSError, ValueError):
        return (
            json.loads(complete.read_text()) == state
            and (complete.parent / EXECUTABLE).exists()
        )


def _make(directory, requirements):
    say(f"Making the virtual environment {directory.name} ...")
    if directory.exists():
        # First what says that it is complete, if this is interrupted.
        (directory / "complete.json").unlink(missing_ok=True)
        shutil.rmtree(directory)
    # To install pip takes longer than all the rest of it.
    without = ["--without-pip"] if requirements else []
    venv = _run([sys.executable, "-I", "-m", "venv", *without, directory])
    if venv.returncode:
        free = shutil.disk_usage(directory.parent).free
        advice = f" {free >> 20} MiB are free there."
        if re.search("ensurepip is not available|No module named venv", venv.stdout):
            advice = " On Debian and Ubuntu: apt install python3-venv."
        raise OverlayError(
            f"{directory} can't be made: {last_error(venv.stdout)}{advice}"
        )
    if requirements:
        say(f"Installing {', '.join(requirements)} ...")
        # What is imported is compiled then.
        options = ("install", "--no-user", "--no-compile", "--quiet")
        into = ("--python", directory / EXECUTABLE)
        install = pip(with_pip(), *into, *options, *requirements)
        if install.returncode:
            reason = last_error(install.stdout)
            raise OverlayError(
                f"pip can't install what {directory.name} needs: {reason}"
            )


def _run(command, **options):
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        **options,
    )


@contextlib.contextmanager
def _lock(path):
    with open(path, "w") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
