import threading
import time
from unittest import mock

from backends.forking import run_in_fork
from backends.forking_in_c import run_in_c_fork

from django.db import close_old_connections, connection
from django.db.backends.base import base

from . import test_fork


class PoolForkInCTests(test_fork.PoolTestCase):
    def fork_in_c(self, child):
        """
        Return the result of child() in a process that is forked in C by one
        without threads, between the latter's session before and after that.
        Python itself may crash when a process that has threads, such as other
        tests leave, is forked in C and the child starts new ones.
        """

        def parent():
            before = self.session()
            # It stays where wrappers look for it.
            connection.pool.close()
            self.assertEqual(threading.active_count(), 1)
            return before, run_in_c_fork(child), self.session()

        return run_in_fork(parent)

    def test_fork_in_c_with_threads(self):
        discard, discarding = base._discard_inherited, []

        def discard_late():
            # When another thread comes here, the first one is connected.
            discarding.append(None)
            time.sleep(0.1 * len(discarding))
            discard()

        def child():
            with mock.patch.object(base, "_discard_inherited", discard_late):
                return self.sessions_of_threads(4)

        before, sessions, after = self.fork_in_c(child)
        self.assertDistinct(before, *sessions)
        self.assertEqual(after, before)

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

    def test_fork_in_c_pool_used_first(self):
        other = self.new_connection(self.wrapper_class, "pooled")

        def child():
            # It makes a pool before it notices the fork.
            pool = other.pool
            self.assertIs(other.pool, pool)
            pool.open(wait=True, timeout=5)
            close_old_connections()
            sessions = self.session(), self.session(other)
            return *sessions, other.pool is pool, pool.closed

        before, (*sessions, same_pool, closed), _ = self.fork_in_c(child)
        self.assertDistinct(before, *sessions)
        self.assertEqual((same_pool, closed), (True, False))

    def test_fork_in_c_close_pool(self):
        self.pool = {**self.pool, "max_size": 1}
        pooled = self.new_connection(self.wrapper_class, "pooled")
        parent = self.session(pooled)
        pooled.close()
        run_in_c_fork(pooled.close_pool)
        self.assertEqual(self.session(pooled), parent)
