import time
from unittest import mock

from backends.forking import run_in_fork
from backends.forking_unnoticed import run_in_unnoticed_fork

from django.db import close_old_connections, connection
from django.db.backends.base import base

from . import test_fork


class PoolUnnoticedForkTests(test_fork.PoolTestCase):
    def test_threads(self):
        found = []

        def find_late():
            # When another thread comes here, the first one is connected.
            found.append(None)
            time.sleep(0.1 * len(found))
            return mock.DEFAULT

        def child():
            wrappers = {"wraps": base._wrappers.valuerefs, "side_effect": find_late}
            with mock.patch.object(base._wrappers, "valuerefs", **wrappers):
                return self.sessions_of_threads(4)

        parent = self.session()
        self.assertDistinct(parent, *run_in_unnoticed_fork(child))
        self.assertEqual(self.session(), parent)

    def test_pool_used_before_first_connection(self):
        self.pool = {**self.pool, "min_size": 0}
        pooled = self.new_connection(self.wrapper_class, "pooled")

        def child():
            # Nothing is inherited from it but a pool without connections.
            inherited_pool = pooled.pool
            return run_in_fork(lambda: grandchild(inherited_pool))

        def grandchild(inherited_pool):
            pool = pooled.pool
            self.session(pooled)
            return pool is inherited_pool, pooled.pool is pool

        self.assertEqual(run_in_fork(child), (False, True))

    def test_pool_used_first(self):
        other = self.new_connection(self.wrapper_class, "pooled")
        # So that it has no other connection.
        connection.pool.open(wait=True)
        parent = self.session()

        def child():
            # It makes a pool before it notices the fork.
            pool = other.pool
            self.assertIs(other.pool, pool)
            pool.open(wait=True, timeout=5)
            close_old_connections()
            sessions = self.session(), self.session(other)
            return *sessions, other.pool is pool, pool.closed

        *sessions, same_pool, closed = run_in_unnoticed_fork(child)
        self.assertDistinct(parent, *sessions)
        self.assertEqual((same_pool, closed), (True, False))

    def test_close_pool(self):
        self.pool = {**self.pool, "max_size": 1}
        pooled = self.new_connection(self.wrapper_class, "pooled")
        parent = self.session(pooled)
        pooled.close()
        run_in_unnoticed_fork(pooled.close_pool)
        self.assertEqual(self.session(pooled), parent)
