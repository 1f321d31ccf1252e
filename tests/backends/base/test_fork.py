import contextlib
import gc
import os
import socket
import unittest
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from backends.forking import run_in_fork
from backends.forking_helpers import (
    DriverConnection,
    SocketWrapper,
    UnknownWrapper,
    forked,
    in_thread,
    open_sockets,
    run_script,
    socket_wrapper,
)
from backends.forking_scripts import (
    ConnectionMixin,
    ScriptForkTestsMixin,
    driver_connection,
)

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.backends.base import base
from django.test import SimpleTestCase, TransactionTestCase, skipUnlessDBFeature

from ..models import Square


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class WrapperForkTests(SimpleTestCase):
    def test_unknown_driver(self):
        wrapper = UnknownWrapper()
        inherited = weakref.ref(wrapper.connection)

        def child():
            # A destructor might log off from the server.
            return wrapper.connection is None, inherited() is None

        self.assertEqual(run_in_fork(child), (True, False))
        self.assertIs(wrapper.connection, inherited())

    def test_driver_with_closed_socket(self):
        wrapper, inherited = socket_wrapper(self)
        inherited.socket.close()
        self.assertEqual(inherited.fileno(), -1)
        self.assertIsNone(run_in_fork(lambda: wrapper.connection))
        self.assertIs(wrapper.connection, inherited)

    def test_driver_with_descriptor_of_another_socket(self):
        wrapper, inherited = socket_wrapper(self)
        parent, child_socket = socket.socketpair()
        self.addCleanup(parent.close)
        self.addCleanup(child_socket.close)
        # As after "MySQL server has gone away".
        os.dup2(child_socket.fileno(), inherited.fileno())
        # As where a pool gives it again.
        base._remember_socket(inherited)

        def child():
            os.write(inherited.fileno(), b"result")
            return wrapper.connection

        self.assertIsNone(run_in_fork(child))
        self.assertEqual(parent.recv(6, socket.MSG_DONTWAIT), b"result")

    def test_driver_without_weak_references(self):
        class Connection:
            __slots__ = ()

            def fileno(self):
                return 0

        wrapper = SocketWrapper()
        wrapper.get_new_connection = lambda conn_params: Connection()
        wrapper.connect()
        self.assertIsNone(run_in_fork(lambda: wrapper.connection))

    def test_unusual_wrappers(self):
        class LostWrapper(UnknownWrapper):
            lost = False

            @property
            def connection(self):
                if self.lost:
                    raise ValueError("lost")

            @connection.setter
            def connection(self, value):
                pass

        class BrokenWrapper(UnknownWrapper):
            def _discard(self):
                super()._discard()
                raise ValueError("broken")

        class EmptyWrapper(UnknownWrapper):
            def __len__(self):
                return 0

        def child():
            errors = [str(call.args[1]) for call in logged.call_args_list]
            return errors, [wrapper.connection for wrapper in wrappers[1:]]

        wrappers = [LostWrapper(), BrokenWrapper(), EmptyWrapper(), UnknownWrapper()]
        wrappers[0].lost = True
        # The children of other tests don't inherit them.
        self.addCleanup(gc.collect)
        with mock.patch.object(base.logger, "exception") as logged:
            self.assertEqual(run_in_fork(child), (["lost", "broken"], [None] * 3))
            logged.assert_not_called()

    def test_wrapper_deallocated(self):
        # By the garbage collector, once the hook has begun.
        gone = weakref.ref(DriverConnection())
        wrapper = UnknownWrapper()
        references = [gone, weakref.ref(wrapper)]
        with mock.patch.object(base._wrappers, "valuerefs", return_value=references):
            self.assertIsNone(run_in_fork(lambda: wrapper.connection))

    def test_fork_unavailable(self):
        script = (
            "import os, sys\n"
            "del os.fork, os.register_at_fork\n"
            # As on platforms without shared libraries.
            "sys.modules['ctypes'] = None\n"
            "from django.dispatch import Signal\n"
            "from django.db.backends.base.base import BaseDatabaseWrapper\n"
            "print(BaseDatabaseWrapper.__name__)\n"
        )
        self.assertEqual(run_script(script), "BaseDatabaseWrapper\n")


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class DiscardTests(SimpleTestCase):
    """What a child finds when it opens a connection or checks its age."""

    fork = staticmethod(run_in_fork)

    def test_driver_with_socket(self):
        wrapper, inherited = socket_wrapper(self)

        def child():
            wrapper.close_if_unusable_or_obsolete()
            with self.assertRaises(BrokenPipeError):
                os.write(inherited.fileno(), b"child")
            self.assertIs(os.get_inheritable(inherited.fileno()), False)
            unclosed = [str(warning.message) for warning in caught]
            return wrapper.connection, os.read(inherited.fileno(), 1), unclosed

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            self.assertEqual(self.fork(child), (None, b"", []))
        self.assertIs(wrapper.connection, inherited)
        inherited.socket.send(b"parent")
        # Nothing of what the child wrote.
        self.assertEqual(inherited.server.recv(16), b"parent")

    def test_state_of_subclass(self):
        class Wrapper(SocketWrapper):
            def close(self):
                self.ensure_connection()
                super().close()
                self.role = None

        wrapper, inherited = socket_wrapper(self, Wrapper)
        wrapper.role = "alice"

        def child():
            wrapper.close_if_unusable_or_obsolete()
            wrapper.ensure_connection()
            return wrapper.role, wrapper.connection is inherited

        self.assertEqual(self.fork(child), (None, False))
        self.assertIs(wrapper.connection, inherited)
        self.assertEqual(wrapper.role, "alice")

    def test_fork_lock_held(self):
        wrapper, inherited = socket_wrapper(self)

        def child():
            with base._fork_lock():
                wrapper.ensure_connection()
            return wrapper.connection is inherited

        with in_thread(base._fork_lock()):
            self.assertIs(self.fork(child), False)

    def test_connect(self):
        other, inherited = socket_wrapper(self)
        wrapper = SocketWrapper()

        def child():
            wrapper.connect()
            own = wrapper.connection
            wrapper.close_if_unusable_or_obsolete()
            return wrapper.connection is own, other.connection is inherited

        self.assertEqual(self.fork(child), (True, False))


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
@skipUnlessDBFeature("test_db_allows_multiple_connections", "supports_transactions")
class ConnectionForkTests(ConnectionMixin, ScriptForkTestsMixin, TransactionTestCase):
    def test_query(self):
        self.assertIs(run_in_fork(self.used), False)
        self.assertIs(self.used(), True)

    def session(self):
        """Return the socket that this process queries with."""
        self.used()
        return os.fstat(driver_connection(self).fileno()).st_ino

    def test_sockets(self):
        def child(pipe):
            sockets = [self.session(), run_in_fork(self.session)]
            # The grandchild didn't affect it, and it lives on.
            pipe.send([*sockets, self.session()])
            pipe.recv()

        parent = self.session()
        with forked(child) as (_, pipe):
            socket, of_grandchild, later = pipe.recv()
            of_sibling = run_in_fork(self.session)
        self.assertEqual(socket, later)
        self.assertEqual(len({parent, socket, of_grandchild}), 3)
        self.assertEqual(len({parent, socket, of_sibling}), 3)
        self.assertEqual(self.session(), parent)

    def test_raw_connection(self):
        raw = driver_connection(self)

        def child():
            with self.assertRaises(connection.Database.Error):
                raw.cursor().execute("SELECT 1")
            if connection.vendor == "postgresql":
                # It isn't retried for ever, which would be a busy loop.
                self.assertNotEqual(raw.closed, 0)
            return self.used()

        self.assertIs(run_in_fork(child), False)
        self.assertIs(self.used(), True)

    def test_descriptors(self):
        @contextlib.contextmanager
        def opened():
            with contextlib.closing(connection):
                self.used()
                inherited.append(connection.connection)
                yield
                self.used()

        inherited = [driver_connection(self)]
        with in_thread(opened()):
            self.assertEqual(run_in_fork(open_sockets(*inherited)), [])
        self.assertIs(self.used(), True)

    def test_no_free_descriptor(self):
        import resource

        def child():
            with connection.chunked_cursor() as cursor:
                cursor.execute("SELECT 1")
            session = self.session()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            if (pid := os.fork()) == 0:
                # The socket couldn't be replaced, but isn't used.
                os._exit(3 if connection.connection is None else 4)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            return status, session == self.session()

        driver_connection(self)
        self.assertEqual(run_in_fork(child), (3, True))

    def test_atomic(self):
        def child():
            self.refused()
            connection.close()
            connections.close_all()
            return self.refused()

        with transaction.atomic():
            Square.objects.create(root=1, square=1)
            self.assertIs(run_in_fork(child), True)
            # The parent's transaction is still there.
            self.assertEqual(Square.objects.count(), 1)
        self.assertIs(self.used(), True)
        connection.close()
        self.assertEqual(Square.objects.count(), 1)

    def test_atomic_left(self):
        block, called = transaction.atomic(), []

        def child():
            block.__exit__(None, None, None)
            # It hasn't been committed, and this isn't the parent's session.
            return Square.objects.count(), connection.in_atomic_block, called

        with block:
            Square.objects.create(root=1, square=1)
            transaction.on_commit(lambda: called.append("committed"))
            self.assertEqual(run_in_fork(child), (0, False, []))
            self.assertEqual(Square.objects.count(), 1)
        self.assertIs(self.used(), True)
        self.assertEqual(called, ["committed"])

    def test_thread_sharing(self):
        wrapper = connections[DEFAULT_DB_ALIAS]
        wrapper.inc_thread_sharing()
        self.addCleanup(wrapper.dec_thread_sharing)

        def thread():
            connections[DEFAULT_DB_ALIAS] = wrapper
            return self.used()

        def child():
            with ThreadPoolExecutor(1) as executor:
                return executor.submit(thread).result(), self.used()

        with in_thread(wrapper._thread_sharing_lock):
            self.assertEqual(run_in_fork(child), (False, False))
        with ThreadPoolExecutor(1) as executor:
            self.assertIs(executor.submit(thread).result(), True)
