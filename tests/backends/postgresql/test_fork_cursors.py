import contextlib
import os
import unittest

from backends.forking import run_in_fork
from backends.forking_helpers import captured_logs, in_thread

from django.db import Error, connection, transaction
from django.test import TransactionTestCase

from .test_fork import SessionMixin, is_psycopg3


class ServerSideCursorMixin(SessionMixin):
    def test_server_side_cursor(self):
        with self.connection.chunked_cursor() as cursor:
            cursor.execute("SELECT generate_series(1, 20)")
            self.assertEqual(cursor.fetchone(), (1,))

            def child():
                with self.assertRaises(Error):
                    cursor.fetchone()
                session = self.session()
                self.connection.close()
                return session

            child_session = run_in_fork(child)
            self.assertEqual(cursor.fetchall(), [(i,) for i in range(2, 21)])
            self.assertDistinct(self.session(), child_session)

    def test_server_side_cursor_closed(self):
        with self.connection.chunked_cursor() as cursor:
            cursor.execute("SELECT generate_series(1, 20)")
            self.assertEqual(cursor.fetchone(), (1,))

            def child():
                cursor.close()
                return self.session()

            child_session = run_in_fork(child)
            self.assertEqual(cursor.fetchall(), [(i,) for i in range(2, 21)])
            self.assertDistinct(self.session(), child_session)

    def test_server_side_cursor_used_before(self):
        def child():
            return self.connection.connection, logs.getvalue()

        with captured_logs() as logs, transaction.atomic():
            with self.connection.chunked_cursor() as cursor:
                cursor.execute("SELECT 1")
            # Its connection is closed, and in the block nevertheless there.
            self.connection.close()
            self.assertEqual(run_in_fork(child), (None, ""))

    def test_server_side_cursor_used_before_descriptor_was_closed(self):
        def daemon():
            with self.connection.chunked_cursor() as cursor:
                cursor.execute("SELECT 1")
            # As a daemon does with all that it has.
            os.close(self.connection.connection.fileno())
            # Nothing else takes the descriptor.
            if (pid := os.fork()) == 0:
                discarded = self.connection.connection is None
                os._exit(3 if discarded and not logs.getvalue() else 4)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        with captured_logs() as logs:
            self.assertEqual(run_in_fork(daemon), 3)

    def test_server_side_cursor_of_another_thread(self):
        @contextlib.contextmanager
        def opened():
            wrapper = self.connection.copy()
            with wrapper.chunked_cursor() as cursor:
                cursor.execute("SELECT generate_series(1, 20)")
                inherited.append(wrapper.connection)
                yield
                cursor.fetchall()
            wrapper.close()

        inherited = []
        with in_thread(opened()):
            # libpq might have been in the middle of something.
            self.assertEqual(run_in_fork(lambda: inherited[0].closed), 0)

    def test_server_side_cursor_used_while_connection_is_busy(self):
        if not is_psycopg3:
            self.skipTest("psycopg3 specific test")
        with self.connection.chunked_cursor() as cursor:
            cursor.execute("SELECT 1")
        raw = self.connection.connection
        # As in a signal's handler, which has interrupted libpq.
        with raw.lock:
            self.assertIs(run_in_fork(lambda: raw.closed), False)


@unittest.skipUnless(connection.vendor == "postgresql", "PostgreSQL tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class PersistentConnectionCursorForkTests(ServerSideCursorMixin, TransactionTestCase):
    pass


@unittest.skipUnless(connection.vendor == "postgresql", "PostgreSQL tests")
@unittest.skipUnless(is_psycopg3, "psycopg3 specific test")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class PoolCursorForkTests(ServerSideCursorMixin, TransactionTestCase):
    pool = {"min_size": 1, "max_size": 8, "timeout": 5}
