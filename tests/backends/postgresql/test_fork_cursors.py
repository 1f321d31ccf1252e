import contextlib
import os
import unittest
from unittest import mock

from backends.forking import run_in_fork
from backends.forking_helpers import in_thread
from backends.forking_scripts import ConnectionMixin

from django.db import Error, connection, transaction
from django.db.backends.base import base
from django.test import TransactionTestCase


@unittest.skipUnless(connection.vendor == "postgresql", "PostgreSQL tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class ServerSideCursorForkTests(ConnectionMixin, TransactionTestCase):
    def test_server_side_cursor(self):
        with connection.chunked_cursor() as cursor:
            cursor.execute("SELECT generate_series(1, 20)")
            self.assertEqual(cursor.fetchone(), (1,))

            def child():
                with self.assertRaises(Error):
                    cursor.fetchone()
                return self.used()

            self.assertIs(run_in_fork(child), False)
            self.assertEqual(cursor.fetchall(), [(i,) for i in range(2, 21)])
            self.assertIs(self.used(), True)

    def test_server_side_cursor_closed(self):
        with connection.chunked_cursor() as cursor:
            cursor.execute("SELECT generate_series(1, 20)")
            self.assertEqual(cursor.fetchone(), (1,))

            def child():
                cursor.close()
                return self.used()

            self.assertIs(run_in_fork(child), False)
            self.assertEqual(cursor.fetchall(), [(i,) for i in range(2, 21)])
            self.assertIs(self.used(), True)

    def test_server_side_cursor_used_before(self):
        def child():
            return connection.connection, log.called

        with transaction.atomic(), mock.patch.object(base.logger, "exception") as log:
            with connection.chunked_cursor() as cursor:
                cursor.execute("SELECT 1")
            # Its connection is closed, and in the block nevertheless there.
            connection.close()
            self.assertEqual(run_in_fork(child), (None, False))

    def test_server_side_cursor_used_before_descriptor_was_closed(self):
        def daemon():
            with connection.chunked_cursor() as cursor:
                cursor.execute("SELECT 1")
            raw = connection.connection
            # As a daemon does with all that it has.
            os.close(raw.fileno())
            # Nothing else takes the descriptor.
            if (pid := os.fork()) == 0:
                discarded = connection.connection is None and not raw.closed
                os._exit(3 if discarded and not log.called else 4)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        with mock.patch.object(base.logger, "exception") as log:
            self.assertEqual(run_in_fork(daemon), 3)

    def test_server_side_cursor_of_another_thread(self):
        @contextlib.contextmanager
        def opened():
            with contextlib.closing(connection), connection.chunked_cursor() as cursor:
                cursor.execute("SELECT generate_series(1, 20)")
                inherited.append(connection.connection)
                yield
                cursor.fetchall()

        inherited = []
        with in_thread(opened()):
            # libpq might have been in the middle of something.
            self.assertEqual(run_in_fork(lambda: inherited[0].closed), 0)

    @unittest.skipUnless(connection.Database.__name__ == "psycopg", "psycopg 3 tests")
    def test_server_side_cursor_used_while_connection_is_busy(self):
        with connection.chunked_cursor() as cursor:
            cursor.execute("SELECT 1")
        raw = connection.connection
        # As in a signal's handler, which has interrupted libpq.
        with raw.lock:
            self.assertIs(run_in_fork(lambda: raw.closed), False)

    @unittest.skipUnless(connection.Database.__name__ == "psycopg", "psycopg 3 tests")
    def test_server_side_cursor_atomic_close_fails(self):
        with transaction.atomic(), mock.patch.object(base.logger, "exception"):
            with connection.chunked_cursor() as cursor:
                cursor.execute("SELECT 1")
            raw = connection.connection
            with mock.patch.object(raw, "close", side_effect=ValueError):
                self.assertIs(run_in_fork(self.refused), True)
