import threading
from concurrent.futures import ThreadPoolExecutor

from backends.forking import run_in_fork
from backends.forking_helpers import open_sockets
from backends.forking_scripts import ScriptForkTestsMixin

from django.db import connection, connections
from django.db.backends.base import base

from . import test_pool_fork


class PoolTestCase(test_pool_fork.PoolTestCase):
    pool = {"min_size": 1, "max_size": 8, "timeout": 5}

    def sessions_of_threads(self, number=8):
        """Have threads open connections at once and return their sessions."""
        barrier, copy = threading.Barrier(number), connection.copy

        def open_connection(_):
            wrapper = copy()
            barrier.wait()
            session = self.session(wrapper)
            barrier.wait()
            self.assertEqual(self.session(wrapper), session)
            wrapper.close()
            return session

        with ThreadPoolExecutor(number) as executor:
            return list(executor.map(open_connection, range(number)))


class PoolForkTests(ScriptForkTestsMixin, PoolTestCase):
    def test_several_aliases(self):
        class DatabaseWrapper(self.wrapper_class):
            _connection_pools = {}

        wrappers = [
            connection,
            self.new_connection(self.wrapper_class, "pooled"),
            self.new_connection(DatabaseWrapper, "pooled elsewhere"),
            self.new_connection(self.wrapper_class, "plain", pool=False),
        ]

        def sessions():
            return [self.session(wrapper) for wrapper in wrappers]

        parent = sessions()
        self.assertDistinct(*parent, *run_in_fork(sessions))
        self.assertEqual(sessions(), parent)
        for wrapper in wrappers:
            wrapper.close()
        self.assertDistinct(*parent, *run_in_fork(sessions))

    def test_threads_get_one_pool(self):
        parent = self.session()
        inherited_pool = connection.pool

        def child():
            sessions = self.sessions_of_threads()
            pool = connection.pool
            stats = pool.get_stats()
            return sessions, stats["connections_num"], pool is inherited_pool

        sessions, opened, same_pool = run_in_fork(child)
        self.assertDistinct(parent, *sessions)
        # No more than the one pool's were opened.
        self.assertEqual(opened, 8)
        self.assertIs(same_pool, False)

    def test_inherited_pools_removed_once(self):
        from django.db.backends.postgresql import base as postgresql

        def child():
            wrapper = connection.copy()
            # Once, although several wrappers use them.
            pools = len(postgresql._pools_inherited)
            with ThreadPoolExecutor(1) as executor:
                # Another thread removes them and makes a new one.
                with base._fork_lock():
                    removed = executor.submit(lambda: wrapper.pool)
                    with self.assertRaises(TimeoutError):
                        removed.result(timeout=0.1)
                    own = connection._connection_pools[connection.alias] = object()
            return pools, removed.result() is own, len(postgresql._pools_inherited)

        self.session()
        pools = len(connection._connection_pools)
        self.assertEqual(run_in_fork(child), (pools, True, 0))

    def check_close(self, close):
        def child():
            close()
            return self.session()

        parent = self.session()
        self.assertDistinct(parent, run_in_fork(child))
        self.assertEqual(self.session(), parent)

    def test_close_pool(self):
        self.check_close(connection.close_pool)

    def test_closing_inherited_pool(self):
        pool = connection.pool
        self.check_close(pool.close)
        self.assertIs(pool.closed, False)

    def test_idle_connections_descriptors(self):
        pool = connection.pool
        pool.open(wait=True)
        idle = [pool.getconn() for _ in range(2)]
        for raw in idle:
            pool.putconn(raw)
        # No other connection is inherited.
        connections.close_all()
        self.default.close()
        self.assertEqual(run_in_fork(open_sockets(*idle)), [])
        self.session()
