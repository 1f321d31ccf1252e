"""
Virtual environments under build/, made on first use and kept.

This module and what it imports use nothing but the standard library, since
they run before anything is installed.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from overlay import BUILD
from overlay.console import say
from overlay.errors import OverlayError

try:
    import fcntl
except ImportError:  # Windows, where two runs at once are not kept apart.
    fcntl = None

# What the commands of this package need, and what its tests need on top.
TOOLS = ["unidiff>=1.0,<2"]
TESTS = [*TOOLS, "pytest>=8", "pytest-xdist>=3,<4", "installer>=1,<2"]

# What a pip that we run must not have from the one that builds this project
# (the last three, by which it would take our backend for Django's), nor from
# the user's own ones.
FOREIGN = (
    *("PYTHONPATH", "PYTHONHOME", "PIP_CONSTRAINT"),
    *("PIP_BUILD_TRACKER", "PEP517_", "_PYPROJECT_HOOKS_"),
)

EXECUTABLE = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")
COMPLETE = "complete.json"


def python(name, requirements, base=sys.executable):
    """
    Return the Python of the environment `name`, made from the Python `base`
    with pip's `requirements` if it is missing or has others.

    Raise OverlayError where it can't be made.
    """
    version = _version(base)
    directory = _directory(name, version)
    # The path, since an environment doesn't survive being moved.
    state = [version, str(directory), *requirements]
    try:
        if not _complete(directory, state):
            directory.parent.mkdir(parents=True, exist_ok=True)
            with _lock(directory.with_name(f"{directory.name}.lock")):
                if not _complete(directory, state):
                    _make(directory, requirements, base)
                    (directory / COMPLETE).write_text(json.dumps(state))
    except OSError as error:
        raise OverlayError(
            f"{directory} can't be written ({error.strerror}): make it writable, or "
            "work in a copy of this repository that is."
        ) from None
    return directory / EXECUTABLE


def packages(executable):
    """
    Return the directory with the packages of an environment, given its Python.
    """
    (directory,) = executable.parent.parent.glob("[Ll]ib/**/site-packages")
    return directory


def bootstrap(name, requirements):
    """
    Run the running command again in the environment `name`, made if needed,
    unless it runs there already.

    Raise OverlayError where the environment can't be made.
    """
    executable = python(name, requirements)
    if Path(sys.prefix).resolve() == executable.parent.parent.resolve():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(executable, [str(executable), *sys.orig_argv[1:]])


def pip(executable, *arguments):
    """
    Run pip of the Python `executable`, cut off from the running one's paths
    and from constraints, which are for the user's own projects.

    Return the completed process, with its whole output as text in `stdout`.
    """
    environ = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith(FOREIGN)
    }
    return subprocess.run(
        [executable, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
        + list(arguments),
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def last_error(output):
    """Return the line of `output`, pip's or venv's, that says what failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it printed nothing"])[-1]


def _version(base):
    if base == sys.executable:
        return "%d.%d.%d" % sys.version_info[:3]
    try:
        return subprocess.run(
            [base, "-I", "-c", "import platform; print(platform.python_version())"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise OverlayError(
            f"{base} is not a Python that runs: name another one."
        ) from None


def _directory(name, version):
    major, minor = version.split(".")[:2]
    return BUILD / "venv" / f"{name}-py{major}{minor}"


def _complete(directory, state):
    try:
        return (
            json.loads((directory / COMPLETE).read_text()) == state
            and (directory / EXECUTABLE).exists()
        )
    except (OSError, ValueError):
        return False


def _make(directory, requirements, base):
    say(f"Making the virtual environment {directory.name} ...")
    # Not complete from here on, whatever interrupts the rest.
    (directory / COMPLETE).unlink(missing_ok=True)
    if directory.exists():
        shutil.rmtree(directory)
    venv = subprocess.run(
        [base, "-I", "-m", "venv", directory],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if venv.returncode:
        if "ensurepip" in venv.stdout or "No module named venv" in venv.stdout:
            raise OverlayError(
                f"{base} can't make virtual environments with pip: install its venv "
                "module (on Debian and Ubuntu: apt install python3-venv)."
            )
        raise OverlayError(f"{directory} can't be made: {last_error(venv.stdout)}")
    if requirements:
        say(f"Installing {', '.join(requirements)} ...")
        install = pip(
            directory / EXECUTABLE, "install", "--no-user", "--quiet", *requirements
        )
        if install.returncode:
            raise OverlayError(
                f"pip can't install {', '.join(requirements)}: "
                f"{last_error(install.stdout)} (is the network there?)"
            )


@contextlib.contextmanager
def _lock(path):
    with open(path, "w") as file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"Waiting for another run that makes {path.stem} ...")
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
