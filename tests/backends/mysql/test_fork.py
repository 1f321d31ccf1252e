import gc
import os
import unittest

from backends.forking import run_in_fork
from backends.forking_helpers import run_script
from backends.forking_scripts import CONNECT, ScriptForkTestsMixin

from django.db import connection
from django.test import TransactionTestCase

from ..models import Square

# Fork within a transaction and leave the child in the way that's given.
EXIT_SCRIPT = f"""
{CONNECT}
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute("INSERT INTO backends_square (root, square) VALUES (1, 1)")
    if (pid := os.fork()) == 0:
        end_in_time()
        sys.stderr = open(os.devnull, "w")
        exec(sys.argv[2])
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@unittest.skipUnless(connection.vendor == "mysql", "MySQL tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class ForkTests(TransactionTestCase):
    available_apps = ["backends"]

    def session(self):
        """Return the number of the server's session."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            return cursor.fetchone()[0]

    def check_fork(self, fork, child):
        """
        What child() returns are sessions, none of which is the parent's.
        """
        parent = self.session()
        children = fork(child)
        self.assertNotIn(parent, children)
        self.assertEqual(self.session(), parent)
        return children

    def test_children_and_grandchild(self):
        def child():
            session = self.session()
            grandchild = run_in_fork(self.session)
            return session, grandchild, self.session()

        session, grandchild, later = self.check_fork(run_in_fork, child)
        self.assertEqual(session, later)
        self.assertNotEqual(session, grandchild)
        sibling = self.check_fork(run_in_fork, lambda: [self.session()])
        self.assertNotIn(session, sibling)

    def test_driver_connection_deallocated(self):
        # The driver's destructor logs off from the server.
        connection.ensure_connection()
        inherited = [connection.connection]

        def child():
            inherited.clear()
            gc.collect()
            return [self.session()]

        self.check_fork(run_in_fork, child)

    def test_unbuffered_cursor(self):
        connection.ensure_connection()
        cursors = __import__(connection.Database.__name__ + ".cursors").cursors
        cursor = connection.connection.cursor(cursors.SSCursor)
        cursor.execute("SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3")
        self.assertEqual(cursor.fetchone(), (1,))
        inherited = connection.connection

        def child():
            session = self.session()
            connection.close()
            return isinstance(session, int), connection.connection is inherited

        self.assertEqual(run_in_fork(child), (True, False))
        self.assertEqual(list(cursor.fetchall()), [(2,), (3,)])
        cursor.close()
        self.assertIs(connection.is_usable(), True)

    def test_raw_connection(self):
        connection.ensure_connection()
        raw = connection.connection
        if not hasattr(raw, "fileno"):
            self.skipTest(f"{type(raw)} has no fileno().")

        def child():
            with self.assertRaises(connection.Database.Error):
                raw.cursor().execute("SELECT 1")
            return [self.session()]

        self.check_fork(run_in_fork, child)

    def check_exit(self, statement, status):
        settings = ScriptForkTestsMixin.script_settings(self)
        self.assertEqual(run_script(EXIT_SCRIPT, settings, statement), f"{status}\n")
        # The parent's transaction was committed.
        self.assertEqual(Square.objects.count(), 1)

    def test_sys_exit(self):
        self.check_exit("sys.exit(3)", 3)
