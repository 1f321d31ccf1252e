import os
import unittest
from threading import Lock
from unittest import mock

from backends.forking import run_in_fork

from django.db import DEFAULT_DB_ALIAS, ProgrammingError, connection, connections
from django.db.transaction import atomic
from django.test import TransactionTestCase


@unittest.skipUnless(connection.Database.__name__ == "psycopg", "psycopg 3 tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class PoolTestCase(TransactionTestCase):
    """Have a default connection with a pool of its own."""

    available_apps = ["backends"]
    pool = {"min_size": 1, "max_size": 1, "timeout": 5}

    def setUp(self):
        self.default = connections[DEFAULT_DB_ALIAS]
        self.addCleanup(connections.__setitem__, DEFAULT_DB_ALIAS, self.default)
        self.wrapper_class = type(self.default)
        connections[DEFAULT_DB_ALIAS] = self.new_connection(self.wrapper_class)

    def new_connection(self, wrapper_class, alias="fork", pool=True):
        settings_dict = self.default.copy().settings_dict
        settings_dict["CONN_MAX_AGE"] = 0
        settings_dict["OPTIONS"]["pool"] = self.pool if pool else False
        # The pools of another alias aren't those of the test suite.
        wrapper = wrapper_class(settings_dict, alias)
        self.addCleanup(wrapper.close_pool)
        self.addCleanup(wrapper.close)
        return wrapper

    def session(self, wrapper=connection):
        """Return the connection's server process and socket."""
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return *cursor.fetchone(), os.fstat(wrapper.connection.fileno()).st_ino

    def assertDistinct(self, *sessions):
        for identities in zip(*sessions, strict=True):
            self.assertEqual(len(set(identities)), len(sessions), sessions)

    def check_fork(self):
        parent = self.session()
        children = [run_in_fork(self.session) for _ in range(2)]
        self.assertDistinct(parent, *children)
        # The parent's is unaffected.
        self.assertEqual(self.session(), parent)


class PoolForkTests(PoolTestCase):
    def test_connection_checked_out(self):
        self.check_fork()

    def test_idle_connection(self):
        parent, pool = self.session(), connection.pool
        connection.close()
        self.assertIs(run_in_fork(lambda: connection.pool is pool), False)
        self.assertDistinct(parent, run_in_fork(self.session))
        self.assertEqual(self.session(), parent)

    def test_atomic(self):
        block = atomic()

        def child():
            msg = "Cannot open a new connection in an atomic block."
            with self.assertRaisesMessage(ProgrammingError, msg):
                self.session()
            self.assertIs(connection.needs_rollback, True)
            block.__exit__(None, None, None)
            self.session()

        with block:
            parent = self.session()
            run_in_fork(child)
            self.assertEqual(self.session(), parent)

    def test_lock_of_pool_held(self):
        connection.pool.open(wait=True)
        # As if by a thread that doesn't exist in the child.
        with mock.patch.object(connection.pool._sched, "_lock", Lock()) as lock, lock:
            self.assertDistinct(run_in_fork(self.session), self.session())
            self.check_fork()

    def test_session_state_of_subclass(self):
        def child():
            self.session()
            connection.close()
            self.session()
            return close.call_count

        self.session()
        with mock.patch.object(connection, "close", wraps=connection.close) as close:
            self.assertEqual(run_in_fork(child), 2)

    def test_pool_property_of_subclass(self):
        class DatabaseWrapper(self.wrapper_class):
            @property
            def pool(self):
                # Django's own property is asked for what isn't there.
                return self._connection_pools.get(self.alias) or super().pool

        def child():
            # It makes a pool before the inherited ones are removed.
            own = connection._connection_pools["own"] = object()
            self.session()
            return connection._connection_pools["own"] is own

        connections[DEFAULT_DB_ALIAS] = self.new_connection(DatabaseWrapper)
        self.check_fork()
        self.assertIs(run_in_fork(child), True)
