import json
import os
import subprocess
import sys
import threading

import pytest

from overlay import ROOT, environment
from overlay.errors import OverlayError
from overlay.tests.conftest import write

VERSION = f"py{sys.version_info[0]}{sys.version_info[1]}"


@pytest.fixture(autouse=True)
def build(tmp_path, monkeypatch):
    """An own build/, and a pip that finds nothing but local files."""
    monkeypatch.setattr(environment, "BUILD", tmp_path / "build")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", tmp_path.as_uri())
    # None of these is for our environments.
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "missing.txt"))
    return tmp_path / "build"


@pytest.fixture
def package(tmp_path):
    """A project that pip can install without a network."""
    backend = """
        import zipfile

        def build_wheel(directory, config_settings=None, metadata_directory=None):
            name = "small-1.0-py3-none-any.whl"
            info = "small-1.0.dist-info"
            with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
                wheel.writestr("small.py", "VALUE = 42")
                wheel.writestr(
                    f"{info}/METADATA",
                    "Metadata-Version: 2.1\\nName: small\\nVersion: 1.0\\n",
                )
                wheel.writestr(
                    f"{info}/WHEEL",
                    "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
                )
                wheel.writestr(f"{info}/RECORD", "")
            return name
    """.replace("\n" + " " * 8, "\n")
    pyproject = (
        '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
        'backend-path = ["."]\n'
    )
    directory = write(
        tmp_path / "small", {"pyproject.toml": pyproject, "backend.py": backend}
    )
    return str(directory)


def value(executable):
    return subprocess.run(
        [executable, "-c", "import small, sys; print(small.VALUE, sys.prefix)"],
        capture_output=True,
        text=True,
    ).stdout


def test_environment_is_made_once_and_again_for_other_requirements(build, package):
    executable = environment.python("tools", [])
    directory = build / "venv" / f"tools-{VERSION}"
    assert executable == directory / environment.EXECUTABLE
    assert value(executable) == ""
    made = (directory / environment.COMPLETE).stat().st_mtime_ns
    assert environment.python("tools", []) == executable
    assert (directory / environment.COMPLETE).stat().st_mtime_ns == made
    assert environment.python("tools", [package]) == executable
    assert value(executable) == f"42 {directory}\n"


def test_environment_that_is_half_made_is_made_again(build):
    directory = build / "venv" / f"tools-{VERSION}"
    write(directory, {"half": "made"})
    executable = environment.python("tools", [])
    assert executable.exists() and not (directory / "half").exists()


def test_complete_is_what_has_its_mark_and_python(tmp_path):
    mark = json.dumps(["3.12.1", "unidiff"])
    write(tmp_path, {environment.COMPLETE: mark, str(environment.EXECUTABLE): ""})
    assert environment._complete(tmp_path, ["3.12.1", "unidiff"])
    assert not environment._complete(tmp_path, ["3.12.1"])
    write(tmp_path, {environment.COMPLETE: mark[:-1]})
    assert not environment._complete(tmp_path, ["3.12.1", "unidiff"])
    write(tmp_path, {environment.COMPLETE: mark})
    (tmp_path / environment.EXECUTABLE).unlink()
    assert not environment._complete(tmp_path, ["3.12.1", "unidiff"])


def test_failed_installation_is_one_line_and_not_taken_as_made(build):
    with pytest.raises(OverlayError, match="No matching distribution") as caught:
        environment.python("tools", ["small"])
    assert "\n" not in str(caught.value)
    assert not (build / "venv" / f"tools-{VERSION}" / environment.COMPLETE).exists()


def test_two_runs_at_once_make_it_once(build, capfd):
    threads = [
        threading.Thread(target=environment.python, args=("tools", []))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert capfd.readouterr().err.count("Making the virtual environment") == 1


def test_directory_that_can_not_be_written_is_one_line(build):
    write(build.parent, {"build": "a file"})
    with pytest.raises(OverlayError, match="can't be written .* make it writable"):
        environment.python("tools", [])


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_python_without_venv_or_pip_is_told_what_to_install(tmp_path, module):
    # Debian's python3 without python3-venv.
    base = write(tmp_path, {"python": f"#!/bin/sh\n{WITHOUT[module]}"}) / "python"
    base.chmod(0o755)
    with pytest.raises(OverlayError, match="apt install python3-venv"):
        environment.python("tools", [], base=str(base))


WITHOUT = {
    "venv": f"""
case "$*" in
*platform*) exec "{sys.executable}" "$@" ;;
esac
echo "$0: No module named venv"; exit 1
""",
    "ensurepip": f"""
case "$*" in
*platform*) exec "{sys.executable}" "$@" ;;
esac
echo "The virtual environment was not created successfully because ensurepip is not"
echo "available."; exit 1
""",
}


def test_what_is_no_python_is_one_line(tmp_path):
    with pytest.raises(OverlayError, match="missing is not a Python that runs"):
        environment.python("tools", [], base=str(tmp_path / "missing"))


SCRIPT = """\
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from overlay import environment
environment.BUILD = Path({build!r})
environment.bootstrap("tools", [])
print(sys.prefix, sys.argv[1:], sys.flags.optimize, __name__, sys.stdin.read())
"""


@pytest.mark.parametrize("how", ["script", "module"])
def test_bootstrap_runs_the_same_command_in_the_environment(build, tmp_path, how):
    script = SCRIPT.format(root=str(ROOT), build=str(build))
    write(tmp_path, {"small.py": script})
    process = subprocess.run(
        [sys.executable, "-O", *(["-m", "small"] if how == "module" else ["small.py"])]
        + ["--option", "an argument", ""],
        cwd=tmp_path,
        input="input",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.stdout == (
        f"{build}/venv/tools-{VERSION} ['--option', 'an argument', ''] 1 __main__ "
        "input\n"
    )
    assert process.stderr == f"Making the virtual environment tools-{VERSION} ...\n"


@pytest.mark.parametrize(
    "output, line",
    [
        ("Collecting x\nERROR: No such x\n\nNotice: pip is old\n", "ERROR: No such x"),
        ("one\n  last\n\n", "last"),
        ("", "it printed nothing"),
    ],
)
def test_last_error(output, line):
    assert environment.last_error(output) == line
