import os
import unittest

from backends.forking import run_in_fork

from django.db import DEFAULT_DB_ALIAS, ProgrammingError, connection, connections
from django.db.transaction import atomic
from django.test import TransactionTestCase

try:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3
except ImportError:
    is_psycopg3 = False


@unittest.skipUnless(connection.vendor == "postgresql", "PostgreSQL tests")
@unittest.skipUnless(is_psycopg3, "psycopg3 specific test")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class PoolForkTests(TransactionTestCase):
    available_apps = []

    def setUp(self):
        self.wrapper_class = type(connections[DEFAULT_DB_ALIAS])
        self.connect(self.wrapper_class)

    def connect(self, wrapper_class):
        default = connections[DEFAULT_DB_ALIAS]
        settings_dict = default.copy().settings_dict
        settings_dict["CONN_MAX_AGE"] = 0
        settings_dict["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 1, "timeout": 5}
        # The pools of another alias aren't those of the test suite.
        connections[DEFAULT_DB_ALIAS] = wrapper = wrapper_class(settings_dict, "fork")
        self.addCleanup(connections.__setitem__, DEFAULT_DB_ALIAS, default)
        self.addCleanup(wrapper.close_pool)
        self.addCleanup(wrapper.close)

    def session(self):
        """Return the connection's server process and socket."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            socket = os.fstat(connection.connection.fileno())
            return *cursor.fetchone(), socket.st_ino

    def check_fork(self):
        parent = self.session()
        sessions = [parent, run_in_fork(self.session), run_in_fork(self.session)]
        for identities in zip(*sessions, strict=True):
            self.assertEqual(len(set(identities)), len(sessions), sessions)
        # The parent's is unaffected.
        self.assertEqual(self.session(), parent)

    def test_connection_checked_out(self):
        self.check_fork()

    def test_idle_connection(self):
        parent, inherited = self.session(), connection.pool
        connection.close()

        def child():
            pool = connection.pool
            return pool is inherited, pool is connection.pool, self.session()[0]

        self.assertEqual(run_in_fork(child)[:2], (False, True))
        self.assertNotEqual(run_in_fork(child)[2], parent[0])
        self.assertEqual(self.session(), parent)

    def test_atomic(self):
        block, called = atomic(), []

        def child():
            msg = "Cannot open a new connection in an atomic block."
            with self.assertRaisesMessage(ProgrammingError, msg):
                self.session()
            needs_rollback = connection.needs_rollback
            block.__exit__(None, None, None)
            self.session()
            return needs_rollback, called

        with block:
            connection.on_commit(lambda: called.append("committed"))
            parent = self.session()
            self.assertEqual(run_in_fork(child), (True, []))
            self.assertEqual(self.session(), parent)
        self.assertEqual(called, ["committed"])

    def test_lock_of_pool_held(self):
        # As by a thread that doesn't exist in the child.
        parent = self.session()
        with connection.pool._sched._lock:
            self.assertNotEqual(run_in_fork(self.session)[0], parent[0])
        self.assertEqual(self.session(), parent)

    def test_session_state_of_subclass(self):
        class DatabaseWrapper(self.wrapper_class):
            closed = 0

            def close(self):
                super().close()
                self.closed += 1

        def child():
            self.session()
            connection.close()
            self.session()
            return connection.closed

        self.connect(DatabaseWrapper)
        self.session()
        self.assertEqual(run_in_fork(child), 2)

    def test_pool_property_of_subclass(self):
        class DatabaseWrapper(self.wrapper_class):
            @property
            def pool(self):
                if self.alias not in self._connection_pools:
                    # It isn't removed.
                    super().pool.open()
                return self._connection_pools[self.alias]

        self.connect(DatabaseWrapper)
        self.check_fork()
