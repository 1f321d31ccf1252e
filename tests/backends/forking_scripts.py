import json
import time

from backends.forking_helpers import forked, run_script
from backends.models import Square

from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)

# Connect a script as the test is connected.
CONNECT = """
import json, os, sys, warnings

import django
from backends.forking import end_in_time
from django.db import connection, transaction

django.setup()
connection.settings_dict.update(json.loads(sys.argv[1]))
# Python 3.12+ warns against forking a process that has threads.
warnings.simplefilter("ignore", DeprecationWarning)
end_in_time()
"""

# Fork children that end as Python's processes do.
EXITING_SCRIPT = f"""
{CONNECT}
from backends.forking_helpers import DriverConnection, UnknownWrapper
from django.db import connections
DriverConnection.__del__ = lambda self: print("deallocated", flush=True)
connections["unknown"] = UnknownWrapper()

def fork(func):
    if (pid := os.fork()) == 0:
        end_in_time()
        func()
        sys.exit()
    _, status = os.waitpid(pid, 0)
    print(status, connection.is_usable(), flush=True)


def query_and_close():
    connection.cursor().execute("SELECT 1")
    connection.close()


connection.ensure_connection()
fork(lambda: None)
fork(connection.close)
fork(query_and_close)
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute("INSERT INTO backends_square (root, square) VALUES (1, 1)")
    fork(lambda: None)
connection.close()
getattr(connection, "close_pool", connection.close)()
"""


def driver_connection(test):
    """Return it if it tells its descriptor, or else skip the test."""
    connection.ensure_connection()
    if not hasattr(connection.connection, "fileno"):
        test.skipTest(f"{type(connection.connection)} has no fileno().")
    return connection.connection


class ScriptForkTestsMixin:
    """What holds for processes that are killed or end as Python's do."""

    def script_settings(self):
        return json.dumps({**connection.settings_dict, "TEST": {}})

    def test_killed_parent(self):
        if not connection.features.has_select_for_update_nowait:
            self.skipTest("Database doesn't support SELECT ... FOR UPDATE NOWAIT.")
        driver_connection(self)

        def lock():
            try:
                with transaction.atomic():
                    return Square.objects.select_for_update(nowait=True).get()
            except DatabaseError:
                return None

        def parent(pipe):
            def child(_):
                pipe.send("locked")
                pipe.recv()
                pipe.send("alive")

            with transaction.atomic():
                Square.objects.update(square=2)
                with forked(child) as (process, _):
                    process.join()

        Square.objects.create(root=1, square=1)
        with forked(parent) as (process, pipe):
            self.assertEqual(pipe.recv(), "locked")
            self.assertIsNone(lock())
            process.kill()
            deadline = time.monotonic() + 1
            while lock() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(lock().square, 1)
            # Its child lives on.
            pipe.send("end")
            self.assertEqual(pipe.recv(), "alive")

    def test_no_output(self):
        output = run_script(EXITING_SCRIPT, self.script_settings())
        self.assertEqual(output, "0 True\n" * 4)
        # The parent's transaction was committed.
        self.assertEqual(Square.objects.count(), 1)


class ConnectionMixin:
    """What tests of the test suite's connection have in common."""

    available_apps = ["backends"]

    def setUp(self):
        connection.close()
        self.assertEqual(self.roots(), [])
        self.inherited = connection.connection

    def reconnect(self, **settings):
        """Replace the connection by one with other settings and no pool."""
        default = connections[DEFAULT_DB_ALIAS]
        wrapper = connections[DEFAULT_DB_ALIAS] = default.copy()
        self.addCleanup(connections.__setitem__, DEFAULT_DB_ALIAS, default)
        self.addCleanup(wrapper.close)
        wrapper.settings_dict["OPTIONS"].pop("pool", None)
        wrapper.settings_dict.update(settings)
        wrapper.ensure_connection()
        self.inherited = wrapper.connection

    def used(self):
        """
        Return whether this process uses the connection of the test's process.
        """
        self.assertIs(Square.objects.filter(root=-1).exists(), False)
        return connection.connection is self.inherited

    def roots(self):
        return list(Square.objects.order_by("root").values_list("root", flat=True))

    def refused(self):
        """Return whether a query is refused as it's in the parent's block."""
        msg = "Cannot open a new connection in an atomic block."
        with self.assertRaisesMessage(ProgrammingError, msg):
            Square.objects.count()
        return True
