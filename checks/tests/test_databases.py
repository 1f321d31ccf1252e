import signal
import socket
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from checks.databases import mariadb, pgbouncer, postgresql, redis, serving
from checks.tests.conftest import interrupt, start, there
from overlay.errors import OverlayError


@pytest.fixture(autouse=True)
def unnamed(monkeypatch):
    for variable in postgresql.VARIABLES:
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
        autocommit=True,
        prepare_threshold=None,
        **parameters.get("OPTIONS", {}),
    )


def test_server(made):
    with postgresql.embedded() as parameters:
        with connect(parameters) as connection:
            row = connection.execute(
                "SELECT current_setting('max_connections')::int, "
                "current_setting('fsync'), upper('é'), "
                "current_setting('listen_addresses')"
            ).fetchone()
        assert row == (300, "off", "É", "")
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
        from overlay import console
        from checks.databases import postgresql
        def command():
            with postgresql.embedded() as parameters:
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
    monkeypatch.setitem(postgresql.SETTINGS, "max_connections", "many")

    with pytest.raises(OverlayError, match=r"FATAL: .*\"many\".*PGHOST"):
        with postgresql.embedded():
            pass

    assert made and not any(Path(directory).exists() for directory in made)


def test_named_server(made, monkeypatch):
    with postgresql.embedded() as parameters:
        monkeypatch.setenv("PGHOST", parameters["HOST"])
        monkeypatch.setenv("PGUSER", parameters["USER"])
        with postgresql.embedded() as named:
            assert named["HOST"] == parameters["HOST"]
            assert named["NAME"] == parameters["USER"]
        # It is not ours to end.
        with connect(named) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert len(made) == 1


@pytest.mark.parametrize("variable", postgresql.VARIABLES)
def test_named_server_that_does_not_answer(variable, monkeypatch):
    monkeypatch.setenv("PGHOST", "/nowhere")
    monkeypatch.setenv(variable, "1" if variable == "PGPORT" else "/nowhere")

    with pytest.raises(
        OverlayError, match=rf"{variable}.* does not answer .*: start it"
    ):
        with postgresql.embedded():
            pass


def test_restart():
    """It has the same address and data afterwards, and other processes."""
    with postgresql.package_server() as (server, parameters), serving.running(server):
        with connect(parameters) as connection:
            connection.execute("CREATE TABLE kept ()")
            before = server.process.pid
        server.restart()
        assert server.process.pid != before
        with connect(parameters) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_debian_postgresql(made):
    places = Path("/usr/lib/postgresql").glob("*/bin")
    there(serving.program, "initdb", "postgresql", *places)
    with postgresql.debian() as parameters:
        with connect(parameters) as connection:
            row = connection.execute(
                "SELECT ssl, current_setting('ssl'), 'é' < 'z' COLLATE \"sv-x-icu\" "
                "FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            ).fetchone()
        assert row == (True, "on", True)
        assert parameters["HOST"] == "127.0.0.1"
    with pytest.raises(psycopg.OperationalError):
        connect(parameters)
    assert made and not any(Path(directory).exists() for directory in made)


def test_pgbouncer(made):
    there(serving.program, "pgbouncer", "pgbouncer")
    with pgbouncer.transaction() as parameters:
        with connect(parameters) as first, connect(parameters) as second:
            query = "SELECT pg_backend_pid()"
            # In transaction mode, the one's session becomes the other's.
            assert first.execute(query).fetchone() == second.execute(query).fetchone()
    with pytest.raises(psycopg.OperationalError):
        connect(parameters)
    assert len(made) == 2 and not any(Path(directory).exists() for directory in made)


def test_mariadb(made):
    there(serving.program, "mariadbd", "mariadb-server")
    with (
        mariadb.mariadb_server() as (server, parameters),
        serving.running(server),
    ):
        address = parameters["HOST"]
        assert Path(address).is_socket()
        before = server.process.pid
        server.restart()
        assert server.process.pid != before and Path(address).is_socket()
        pid = server.process.pid
    assert not psutil.pid_exists(pid)
    assert made and not any(Path(directory).exists() for directory in made)


def test_redis(made):
    there(serving.program, "redis-server", "redis-server")
    with redis.redis() as address, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(address))
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
    assert made and not any(Path(directory).exists() for directory in made)


def test_server_that_is_not_installed(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(serving, "SYSTEM", ())
    for server, package in (
        (mariadb.mariadb, "mariadb-server"),
        (pgbouncer.transaction, "pgbouncer"),
        (redis.redis, "redis-server"),
    ):
        with pytest.raises(OverlayError, match=rf"apt install {package}\)"):
            with server():
                pass
