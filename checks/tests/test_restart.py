"""A server that is restarted between a fork and the child's first query."""

import json
import subprocess

import pytest

from checks import settings, trees
from checks.databases import mariadb, postgresql, serving
from checks.tests.conftest import there
from overlay import releases

# In seconds.
DEADLINE = 60

SCRIPT = """
import json, os, signal, sys

import django
from django.conf import settings

settings.configure(DATABASES={"default": json.loads(sys.argv[1])})
django.setup()

from django.db import OperationalError, close_old_connections, connection


def answer(number):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        return int(cursor.fetchone()[0])


signal.alarm(60)
answer(0)
reader, writer = os.pipe()
if (pid := os.fork()) == 0:
    signal.alarm(60)
    os.read(reader, 1)
    print("child", answer(1), flush=True)
    os._exit(0)
print("forked", flush=True)
sys.stdin.readline()
os.write(writer, b".")
status = os.waitpid(pid, 0)[1]
try:
    answer(2)
except OperationalError:
    print("lost", status)
close_old_connections()
print("parent", answer(3))
"""


@pytest.mark.parametrize(
    "database, make",
    [
        ("embedded", postgresql.package_server),
        ("mariadb", mariadb.mariadb_server),
    ],
)
def test_restart_after_fork(database, make):
    if database == "mariadb":
        there(serving.program, "mariadbd", "mariadb-server")
    # mysqlclient is compiled.
    python = there(settings.python, settings.check(database))
    with (
        trees.tree(releases.default()) as tree,
        make() as (server, parameters),
        serving.running(server),
    ):
        parameters["CONN_MAX_AGE"] = None
        if database == "mariadb":
            # There is no database yet, and none is needed.
            parameters["NAME"] = "mysql"
        script = subprocess.Popen(
            [python, "-W", "ignore", "-c", SCRIPT, json.dumps(parameters)],
            env={"PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert script.stdout.readline() == "forked\n"
            server.restart()
            stdout, stderr = script.communicate("\n", timeout=DEADLINE)
        finally:
            script.kill()
            script.communicate()
    # The child's own session is a new one; the parent's was lost, as ever.
    assert (stdout, stderr) == ("child 1\nlost 0\nparent 3\n", "")
