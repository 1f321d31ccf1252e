import signal
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from overlay import database
from overlay.errors import OverlayError
from overlay.tests.test_processes import interrupt, start


@pytest.fixture(autouse=True)
def unnamed(monkeypatch):
    for variable in database.VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def made(monkeypatch):
    """The temporary directories that were made."""
    directories, mkdtemp = [], tempfile.mkdtemp

    def remember(**options):
        directories.append(mkdtemp(**options))
        return directories[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", remember)
    return directories


def connect(parameters):
    return psycopg.connect(
        host=parameters["HOST"],
        port=parameters["PORT"],
        user=parameters["USER"],
        password=parameters["PASSWORD"],
        dbname=parameters["NAME"],
    )


def test_server(made):
    with database.postgresql() as parameters:
        with connect(parameters) as connection:
            row = connection.execute(
                "SELECT current_setting('max_connections')::int, "
                "current_setting('fsync'), upper('é'), "
                "current_setting('listen_addresses')"
            ).fetchone()
        assert row == (200, "off", "É", "")
        pid = int(
            Path(parameters["HOST"], "data/postmaster.pid").read_text().split()[0]
        )
        assert psutil.pid_exists(pid)

    assert not psutil.pid_exists(pid)
    assert made and not any(Path(directory).exists() for directory in made)


@pytest.mark.parametrize(
    "number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_signal_ends_the_server(number, status):
    process = start("""
        import sys, time
        from overlay import console, database
        def command():
            with database.postgresql() as parameters:
                print(parameters["HOST"], flush=True)
                time.sleep(60)
        sys.exit(console.run("test", command))
        """)
    directory = Path(process.stdout.readline().strip())
    pid = int((directory / "data/postmaster.pid").read_text().split()[0])

    assert interrupt(process, number) == status

    assert not psutil.pid_exists(pid)
    assert not directory.exists()


def test_server_that_does_not_start(made, monkeypatch):
    monkeypatch.setitem(database.SETTINGS, "max_connections", "many")

    with pytest.raises(OverlayError, match=r"FATAL: .*\"many\".*PGHOST"):
        with database.postgresql():
            pass

    assert made and not any(Path(directory).exists() for directory in made)


def test_named_server(made, monkeypatch):
    with database.postgresql() as parameters:
        monkeypatch.setenv("PGHOST", parameters["HOST"])
        monkeypatch.setenv("PGUSER", parameters["USER"])
        with database.postgresql() as named:
            assert named["HOST"] == parameters["HOST"]
            assert named["NAME"] == parameters["USER"]
        # It is not ours to end.
        with connect(named) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert len(made) == 1


@pytest.mark.parametrize("variable", database.VARIABLES)
def test_named_server_that_does_not_answer(variable, monkeypatch):
    monkeypatch.setenv("PGHOST", "/nowhere")
    monkeypatch.setenv(variable, "1" if variable == "PGPORT" else "/nowhere")

    with pytest.raises(
        OverlayError, match=rf"{variable}.* does not answer .*: start it"
    ):
        with database.postgresql():
            pass
