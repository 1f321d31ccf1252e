import contextlib
import os
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from backends.forking import TIMEOUT, forked, receive, run_in_fork
from backends.forking_helpers import (
    held,
    in_thread,
    socket_of,
)
from backends.forking_scripts import ScriptForkTestsMixin

from django.db import (
    DEFAULT_DB_ALIAS,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.db.backends.base import base
from django.test import TransactionTestCase

try:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3
except ImportError:
    is_psycopg3 = False


class SessionMixin:
    """What tests of sessions, with or without a pool, have in common."""

    available_apps = ["backends"]
    pool = False

    def setUp(self):
        self.default = connections[DEFAULT_DB_ALIAS]
        self.connection = self.new_connection(self.pool)
        connections[DEFAULT_DB_ALIAS] = self.connection
        self.addCleanup(connections.__setitem__, DEFAULT_DB_ALIAS, self.default)

    def new_connection(self, pool, alias="fork", wrapper_class=None):
        settings_dict = self.default.copy().settings_dict
        settings_dict["CONN_MAX_AGE"] = 0 if pool else None
        settings_dict["OPTIONS"].update(pool=pool, application_name=alias)
        # The pools of another alias aren't those of the test suite.
        new_connection = (wrapper_class or type(self.default))(settings_dict, alias)
        self.addCleanup(new_connection.close_pool)
        self.addCleanup(new_connection.close)
        return new_connection

    def session(self, wrapper=None):
        """
        Return what identifies a connection: its server process and socket.
        """
        wrapper = wrapper or self.connection
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return *cursor.fetchone(), socket_of(wrapper.connection)

    def assertDistinct(self, *sessions):
        for identities in zip(*sessions, strict=True):
            self.assertEqual(len(set(identities)), len(sessions), sessions)

    def insert(self):
        with self.connection.cursor() as cursor:
            cursor.execute("INSERT INTO backends_square (root, square) VALUES (1, 1)")

    def count(self, wrapper=None):
        with (wrapper or self.connection).cursor() as cursor:
            cursor.execute("SELECT count(*) FROM backends_square")
            return cursor.fetchone()[0]

    def check_in_atomic(self, child):
        """
        Run child() after a fork in a transaction, which must be unaffected.
        """
        with transaction.atomic():
            self.insert()
            session = self.session()
            result = run_in_fork(child)
            self.assertEqual(self.session(), session)
        self.assertEqual(self.count(self.default), 1)
        return result

    def check_fork(self):
        session = self.session()
        self.assertDistinct(session, run_in_fork(self.session))
        self.assertEqual(self.session(), session)

    def check_descriptors(self, *inherited, fork=run_in_fork):
        """
        None of the inherited connections' descriptors is their socket's.
        """

        def is_socket(fd):
            try:
                return os.fstat(fd).st_ino == sockets[fd]
            except OSError:
                return False

        sockets = {raw.fileno(): socket_of(raw) for raw in inherited}
        self.assertEqual(len(sockets), len(inherited))

        def child():
            close_old_connections()
            return [fd for fd in sockets if is_socket(fd)]

        self.assertEqual(fork(child), [])

    def sessions_of_threads(self, number=4):
        """Have threads open connections at once and return their sessions."""
        barrier = threading.Barrier(number)

        def open_connection(_):
            wrapper = self.connection.copy()
            barrier.wait()
            session = self.session(wrapper)
            barrier.wait()
            self.assertEqual(self.session(wrapper), session)
            wrapper.close()
            return session

        with ThreadPoolExecutor(number) as executor:
            return list(executor.map(open_connection, range(number)))


class ForkTestsMixin(SessionMixin, ScriptForkTestsMixin):
    """What holds with and without a pool."""

    def test_parent_children_and_grandchild(self):
        def child(pipe):
            session = self.session()
            grandchild = run_in_fork(self.session)
            # The grandchild didn't affect it, and it lives on.
            pipe.send([session, grandchild, self.session()])
            pipe.recv()

        parent = self.session()
        with forked(child) as (_, pipe):
            child_session, grandchild, later = receive(pipe)
            self.assertEqual(later, child_session)
            sibling = run_in_fork(self.session)
            self.assertDistinct(parent, child_session, sibling)
        self.assertDistinct(parent, child_session, grandchild)
        self.assertEqual(self.session(), parent)

    def test_closed(self):
        # It was returned to the pool if there's one.
        session = self.session()
        self.connection.close()
        inherited_pool = self.connection.pool

        def child():
            session = self.session()
            return session, self.connection.pool is inherited_pool

        child_session, same_pool = run_in_fork(child)
        self.assertNotEqual(child_session, session)
        self.assertIs(same_pool, not self.pool)

    def check_close(self, close):
        def child():
            close()
            return self.connection.closed_in_transaction

        self.assertIs(self.check_in_atomic(child), True)

    def test_close(self):
        self.check_close(self.connection.close)

    def test_thread(self):
        @contextlib.contextmanager
        def opened():
            wrapper = self.connection.copy()
            sessions["thread"] = self.session(wrapper)
            inherited.append(wrapper.connection)
            try:
                yield
                sessions["thread later"] = self.session(wrapper)
            finally:
                wrapper.close()

        sessions, inherited = {}, []
        with in_thread(opened()):
            self.check_fork()
            self.check_descriptors(*inherited)
        self.assertEqual(sessions["thread"], sessions["thread later"])

    def test_descriptors(self):
        self.session()
        self.check_descriptors(self.connection.connection)
        self.session()

    def test_proxy_without_weak_references(self):
        class Proxy:
            __slots__ = ["raw"]

            def __getattr__(self, name):
                return getattr(self.raw, name)

        self.session()
        proxy = Proxy()
        proxy.raw = self.connection.connection
        self.assertIs(self.connection._configure_connection(proxy), False)

    def test_raw_connection(self):
        self.session()
        raw = self.connection.connection

        def child():
            with self.assertRaises(self.connection.Database.Error):
                raw.cursor().execute("SELECT 1")
            # It doesn't go on failing, as a loop that reconnects would spin.
            self.assertNotEqual(raw.closed, 0)
            return self.session()

        parent = self.session()
        self.assertDistinct(parent, run_in_fork(child))
        self.assertEqual(self.session(), parent)

    def test_no_free_descriptor(self):
        import resource

        def child():
            with self.connection.chunked_cursor() as cursor:
                cursor.execute("SELECT 1")
            session = self.session()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            if (pid := os.fork()) == 0:
                # The socket couldn't be replaced, but isn't used.
                os._exit(3 if self.connection.connection is None else 4)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            return status, session, self.session()

        status, session, later = run_in_fork(child)
        self.assertEqual(status, 3)
        self.assertEqual(session, later)


@unittest.skipUnless(connection.vendor == "postgresql", "PostgreSQL tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class PersistentConnectionForkTests(ForkTestsMixin, TransactionTestCase):
    pass


@unittest.skipUnless(connection.vendor == "postgresql", "PostgreSQL tests")
@unittest.skipUnless(is_psycopg3, "psycopg3 specific test")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class PoolForkTests(ForkTestsMixin, TransactionTestCase):
    pool = {"min_size": 1, "max_size": 8, "timeout": 5}

    def setUp(self):
        super().setUp()
        # Nothing else goes on in the pool's threads during fork().
        self.connection.pool.open(wait=True)

    def test_pool_growing(self):
        pool = self.connection.pool
        self.session()
        with ThreadPoolExecutor(1) as executor, held(pool, "_configure") as configuring:
            connection = executor.submit(pool.getconn)
            self.assertIs(configuring.wait(TIMEOUT), True)
            self.check_fork()
            self.assertIs(connection.done(), False)
        pool.putconn(connection.result())

    def test_several_aliases(self):
        wrappers = [
            self.connection,
            self.new_connection(self.pool, "pooled"),
            self.new_connection(False, "plain"),
        ]

        def sessions():
            return [self.session(wrapper) for wrapper in wrappers]

        parent = sessions()
        self.assertDistinct(*parent, *run_in_fork(sessions))
        self.assertEqual(sessions(), parent)

    def test_threads_get_one_pool(self):
        parent = self.session()
        inherited_pool = self.connection.pool

        def child():
            sessions = self.sessions_of_threads(8)
            pool = self.connection.pool
            stats = pool.get_stats()
            return sessions, stats["connections_num"], pool is inherited_pool

        sessions, opened, same_pool = run_in_fork(child)
        self.assertDistinct(parent, *sessions)
        # No more than the one pool's were opened.
        self.assertEqual(opened, 8)
        self.assertIs(same_pool, False)

    def test_inherited_pools_removed_once(self):
        from django.db.backends.postgresql import base as postgresql

        inherited_pool = self.connection.pool

        def child():
            with ThreadPoolExecutor(1) as executor:
                # As another thread does, which may then make a new pool.
                with base._fork_lock():
                    removed = executor.submit(lambda: self.connection.pool)
                    with self.assertRaises(TimeoutError):
                        removed.result(timeout=0.1)
                return removed.result() is inherited_pool, postgresql._pools_inherited

        self.assertEqual(run_in_fork(child), (False, False))

    def test_close_pool(self):
        self.check_close(self.connection.close_pool)

    def test_closing_inherited_pool(self):
        pool = self.connection.pool
        self.check_close(pool.close)
        self.assertIs(pool.closed, False)

    def test_idle_connections_descriptors(self):
        pool = self.connection.pool
        idle = [pool.getconn() for _ in range(2)]
        for raw in idle:
            pool.putconn(raw)
        # No other connection is inherited.
        connections.close_all()
        self.default.close()
        self.check_descriptors(*idle)
        self.session()

    def test_subclass_with_pool_property(self):
        from psycopg_pool import ConnectionPool

        class DatabaseWrapper(type(self.default)):
            """Connect with something that changes, e.g. a token."""

            @property
            def pool(self):
                if self.alias not in self._connection_pools:
                    self._connection_pools[self.alias] = ConnectionPool(
                        kwargs={**self.get_connection_params(), "autocommit": True},
                        configure=self._configure_connection,
                        open=False,
                        min_size=1,
                    )
                return self._connection_pools[self.alias]

        def child():
            # It makes a pool before the inherited ones are removed.
            own = self.new_connection(self.pool, "own", DatabaseWrapper)
            pool = own.pool
            pool.open()
            return self.session(), own.pool is pool

        self.connection = self.new_connection(self.pool, wrapper_class=DatabaseWrapper)
        self.check_fork()
        self.assertIs(run_in_fork(child)[1], True)

    def test_subclass_with_own_pools(self):
        class DatabaseWrapper(type(self.default)):
            _connection_pools = {}

        self.connection = self.new_connection(self.pool, wrapper_class=DatabaseWrapper)
        self.check_fork()
        self.connection.close()
        inherited_pool = self.connection.pool

        def child():
            self.session()
            return self.connection.pool is inherited_pool

        self.assertIs(run_in_fork(child), False)
