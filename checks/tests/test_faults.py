"""Servers and processes that fail while a process forks, or after that."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import types

import psutil
import psycopg
import pytest

from checks import settings, trees
from checks.databases import mariadb, postgresql, serving
from checks.tests.conftest import there
from overlay import ROOT, releases
from overlay.errors import OverlayError

SCRIPT = ROOT / "checks/scripts/faults.py"

# In seconds, for what a script does.
DEADLINE = 60

# In seconds as well.
POOL = {"min_size": 1, "max_size": 1, "timeout": 3, "reconnect_timeout": 2}

SERVERS = {
    "persistent": ("embedded", postgresql.package_server, {"CONN_MAX_AGE": None}),
    "pool": ("embedded", postgresql.package_server, {"OPTIONS": {"pool": POOL}}),
    "mariadb": ("mariadb", mariadb.mariadb_server, {"CONN_MAX_AGE": None}),
}

ERROR = "OperationalError"


@pytest.fixture
def running(request, monkeypatch):
    """A server, with few sessions, and a function that starts the script."""
    name, make, options = SERVERS[request.param]
    if name == "mariadb":
        there(serving.program, "mariadbd", "mariadb-server")
    # mysqlclient is compiled.
    python = there(settings.python, settings.check(name))
    few = {"max_connections": "10", "superuser_reserved_connections": "0"}
    monkeypatch.setattr(postgresql, "SETTINGS", postgresql.SETTINGS | few)
    with (
        trees.tree(releases.default()) as tree,
        make() as (server, parameters),
        serving.running(server),
    ):
        if name == "mariadb":
            # There is no database yet, and none is needed.
            parameters["NAME"] = ""
        yield types.SimpleNamespace(
            server=server,
            parameters=parameters | options,
            command=[python, "-W", "ignore", SCRIPT, json.dumps(parameters | options)],
            environ={"PYTHONPATH": str(tree)},
        )


@contextlib.contextmanager
def script(running):
    """
    Yield a function that has the script do something, and returns what it
    says; what is not in time ends it.
    """
    with subprocess.Popen(
        running.command,
        env=running.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
        start_new_session=True,
    ) as process:
        timer = threading.Timer(DEADLINE, os.killpg, [process.pid, signal.SIGKILL])
        timer.start()

        def do(command):
            process.stdin.write(f"{command}\n")
            process.stdin.flush()
            return process.stdout.readline().split()[1]

        do.process = process
        try:
            yield do
        finally:
            timer.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def restarted(running):
    running.server.restart()
    yield


@contextlib.contextmanager
def refusing(running):
    running.server.stop()
    yield
    running.server.start()


@contextlib.contextmanager
def frozen(running):
    """It does nothing for a second."""
    processes = [psutil.Process(running.server.process.pid)]
    processes += processes[0].children(recursive=True)
    for process in processes:
        process.suspend()

    def resume():
        for process in processes:
            process.resume()

    timer = threading.Timer(1, resume)
    timer.start()
    yield
    timer.join()


def connect(running):
    parameters = postgresql.parameters(running.parameters)
    return psycopg.connect(**parameters, autocommit=True)


@contextlib.contextmanager
def full(running):
    """It has no session left for anybody."""
    with contextlib.ExitStack() as connections:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                connections.enter_context(connect(running))
        yield


@contextlib.contextmanager
def terminating(running):
    """It ends all sessions that there are."""
    with connect(running) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        yield


# What becomes of the first queries of the child and of its parent.
FAULTS = {
    restarted: ("right", "lost"),
    refusing: (ERROR, "lost"),
    frozen: ("right", "right"),
    full: (ERROR, "right"),
    terminating: ("right", "lost"),
}


# The last two are PostgreSQL's only.
CASES = [
    pytest.param(server, fault, id=f"{server}-{fault.__name__}")
    for server in SERVERS
    for fault in list(FAULTS)[: 3 if server == "mariadb" else None]
]


def is_session(said):
    return re.fullmatch(r"\d+/\d+", said)


@pytest.mark.parametrize("when", ["before the fork", "after the fork"])
@pytest.mark.parametrize("running, fault", CASES, indirect=["running"])
def test_server(running, fault, when):
    with script(running) as do:
        session = do("parent")
        if when == "after the fork":
            do("fork")
        with fault(running):
            if when == "before the fork":
                do("fork")
            child = do("child")
            if fault is full:
                # Its session is none of those that others have taken.
                assert do("parent") == session
        in_child, in_parent = FAULTS[fault]
        if in_child == ERROR:
            assert child == ERROR
            child = do("child")
        assert is_session(child) and child != session
        parent = do("parent")
        if in_parent == "right":
            assert parent == session
        else:
            assert parent == ERROR
            assert do("parent") not in (session, child)
        # Both go on as ever.
        assert is_session(do("child")) and is_session(do("parent"))


def hiding_devices():
    """Return the command that runs another one where /dev is empty."""
    hide = 'mount --make-private /dev && mount -t tmpfs none /dev && exec "$0" "$@"'
    command = ["unshare", "--mount", "--propagation=unchanged", "sh", "-c", hide]
    if os.geteuid() or subprocess.call([*command, "true"]):
        raise OverlayError("A root that may mount is not on this machine: install it.")
    return command


@pytest.mark.parametrize("running", SERVERS, indirect=True)
def test_no_null_device(running):
    """The child's copies of its parent's sockets stay, but aren't used."""
    running.command[:0] = there(hiding_devices)
    with script(running) as do:
        session = do("parent")
        do("fork")
        assert is_session(child := do("child")) and child != session
        assert do("parent") == session


# Where nobody may connect.
@pytest.mark.parametrize("running", ["persistent", "pool"], indirect=True)
def test_no_thread(running):
    """A pool can't be had then, and any other connection can."""
    with script(running) as do:
        session = do("parent")
        do("fork")
        do("threadless")
        child = do("child")
        if "pool" in running.parameters.get("OPTIONS", {}):
            assert child == "RuntimeError"
        else:
            assert is_session(child) and child != session
        assert do("parent") == session


@pytest.mark.parametrize("running", SERVERS, indirect=True)
def test_child_that_is_killed(running):
    with script(running) as do:
        session = do("parent")
        child = int(do("fork"))
        assert do("child") != session
        os.kill(child, signal.SIGKILL)
        assert do("parent") == session
