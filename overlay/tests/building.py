"""What tests of the build share: a repository, Django's wheels, and pip."""

import functools
import json
import os
import shutil
import subprocess
import sys

from overlay import BUILD, ROOT, environment
from overlay.releases import RELEASES

# Seconds after which a child hangs.
DEADLINE = 120

HOOK = """
import json, sys
from overlay import buildapi
hook, *arguments = json.loads(sys.argv[1])
print(json.dumps(getattr(buildapi, hook)(*arguments)))
"""


@functools.cache
def downloads():
    """Return a directory with the wheels that builds and installs need."""
    directory = BUILD / "cache/wheels"
    wanted = {
        **{f"django-{version}-*.whl": f"Django==={version}" for version in RELEASES},
        "unidiff-1.*.whl": environment.TOOLS[0],
        "asgiref-*.whl": "asgiref",
        "sqlparse-*.whl": "sqlparse",
    }
    for pattern, requirement in wanted.items():
        if not any(directory.glob(pattern)):
            download = environment.pip(
                sys.executable,
                *("download", "--no-deps", "--only-binary=:all:", "--dest", directory),
                *("--ignore-requires-python", requirement),
            )
            assert download.returncode == 0, download.stdout
    return directory


def released_wheel(version):
    """Return the path of the wheel of Django `version` as it was released."""
    (wheel,) = downloads().glob(f"django-{version}-py3-none-any.whl")
    return wheel


def install(directory, version, umask=0o022):
    """Install the released Django and what patches it into `directory`."""
    run(
        *(sys.executable, "-m", "pip", "install", "--no-deps", "--target", directory),
        *("--ignore-requires-python", f"Django==={version}", *environment.TOOLS),
        umask=umask,
    )
    return directory


def repository(directory):
    """Copy this repository, without git and what runs left, to `directory`."""
    ignored = shutil.ignore_patterns(
        ".git", "build", "dist", "__pycache__", "*_cache", "PKG-INFO"
    )
    return shutil.copytree(ROOT, directory, ignore=ignored)


def hook(root, *arguments, check=True, python=sys.executable, path="", **options):
    """
    Run a hook in a process of its own, as build frontends do, in the copy
    `root` of this repository and with Django from `path`.
    """
    environ = {"PYTHONPATH": str(path), **options.pop("environ", {})}
    arguments = json.dumps(
        [str(a) if isinstance(a, os.PathLike) else a for a in arguments]
    )
    process = run(
        *(python, "-c", HOOK, arguments),
        check=check,
        cwd=root,
        environ=environ,
        **options,
    )
    return json.loads(process.stdout) if check else process


def run(*command, check=True, environ={}, **options):
    """
    Run `command` where pip sees nothing but downloads(), and return the
    completed process.
    """
    process = subprocess.run(
        command,
        env={
            **{
                variable: value
                for variable, value in os.environ.items()
                if not variable.startswith(("PIP_", "SOURCE_DATE_EPOCH"))
            },
            "PIP_NO_INDEX": "1",
            # As a URL, since spaces are between two of them.
            "PIP_FIND_LINKS": downloads().as_uri(),
            "PIP_NO_CACHE_DIR": "1",
            "PIP_NO_COMPILE": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        **options,
    )
    assert not check or process.returncode == 0, process.stdout + process.stderr
    return process


def assert_one_line(process, *words):
    """Assert that `process` failed with one line, and that it has `words`."""
    assert process.returncode == 1
    lines = process.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("overlay: error: "), process.stderr
    for word in words:
        assert word in lines[0]
