import gc
import os
import unittest

from backends.forking import run_in_fork

from django.db import connection
from django.test import TransactionTestCase


@unittest.skipUnless(connection.vendor == "mysql", "MySQL tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class ForkTests(TransactionTestCase):
    available_apps = ["backends"]

    def session(self):
        """Return the number of the server's session."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            return cursor.fetchone()[0]

    def test_driver_connection_deallocated(self):
        # The driver's destructor logs off from the server.
        parent, inherited = self.session(), [connection.connection]

        def child():
            inherited.clear()
            gc.collect()
            return self.session()

        self.assertNotEqual(run_in_fork(child), parent)
        self.assertEqual(self.session(), parent)

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
