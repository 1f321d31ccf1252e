import contextlib
import gc
import logging
import os
import socket
import unittest
import weakref
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from backends.forking import run_in_fork
from backends.forking_helpers import (
    DriverConnection,
    SocketWrapper,
    UnknownWrapper,
    captured_logs,
    in_thread,
    run_script,
    socket_wrapper,
    wait_until,
)
from backends.forking_scripts import ConnectionMixin, ScriptForkTestsMixin

from django.db import (
    DEFAULT_DB_ALIAS,
    connection,
    connections,
    transaction,
)
from django.db.backends.base import base
from django.test import SimpleTestCase, TransactionTestCase, skipUnlessDBFeature

from ..models import Square


class BrokenWrapper(UnknownWrapper):
    def _discard(self):
        raise ValueError("broken")


class RoleWrapper(SocketWrapper):
    """Remember what it told the session until close(), as others do."""

    role = None

    def set_role(self, role):
        self.ensure_connection()
        if self.role != role:
            self.connection.socket.send(role)
            self.role = role

    def close(self):
        super().close()
        self.role = None


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class WrapperForkTests(SimpleTestCase):
    def test_unknown_driver(self):
        wrapper = UnknownWrapper()

        def child():
            return wrapper.connection, DriverConnection.deallocated

        gc.collect()
        deallocated = DriverConnection.deallocated
        # The wrapper lets go of its connection, which isn't deallocated.
        self.assertEqual(run_in_fork(child), (None, deallocated))
        self.assertIsInstance(wrapper.connection, DriverConnection)

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

        def child():
            os.write(inherited.fileno(), b"result")
            return wrapper.connection

        self.assertIsNone(run_in_fork(child))
        self.assertEqual(parent.recv(6, socket.MSG_DONTWAIT), b"result")

    def test_broken_wrapper(self):
        wrappers = [UnknownWrapper(), BrokenWrapper(), UnknownWrapper()]

        def child():
            return [wrapper.connection for wrapper in wrappers], logs.getvalue()

        with captured_logs() as logs:
            connections, output = run_in_fork(child)
            self.assertEqual(logs.getvalue(), "")
        self.assertEqual(connections, [None, None, None])
        self.assertIn("Error discarding a connection after fork(): broken", output)
        for wrapper in wrappers:
            self.assertIsInstance(wrapper.connection, DriverConnection)

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

        class EmptyWrapper(UnknownWrapper):
            def __len__(self):
                return 0

        wrappers = [LostWrapper(), EmptyWrapper(), UnknownWrapper()]
        wrappers[0].lost = True

        def child():
            return [wrapper.connection for wrapper in wrappers[1:]]

        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        self.assertEqual(run_in_fork(child), [None, None])

    def test_wrapper_deallocated(self):
        # By the garbage collector, once the hook has begun.
        gone = weakref.ref(DriverConnection())
        wrapper = UnknownWrapper()
        with mock.patch.object(base, "_wrappers", [gone, weakref.ref(wrapper)]):
            self.assertIsNone(run_in_fork(lambda: wrapper.connection))

    def test_thread_sharing_lock_held(self):
        wrapper = UnknownWrapper()

        def child():
            wrapper.inc_thread_sharing()
            return wrapper.allow_thread_sharing

        with in_thread(wrapper._thread_sharing_lock):
            self.assertIs(run_in_fork(child), True)
        self.assertIs(wrapper.allow_thread_sharing, False)

    def test_in_atomic_block(self):
        wrapper = UnknownWrapper()
        wrapper.in_atomic_block = True

        def child():
            return (
                wrapper.in_atomic_block,
                wrapper.closed_in_transaction,
                wrapper.needs_rollback,
            )

        self.assertEqual(run_in_fork(child), (True, True, True))
        self.assertIs(wrapper.closed_in_transaction, False)
        self.assertIs(wrapper.needs_rollback, False)

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
            return wrapper.connection, os.read(inherited.fileno(), 1)

        self.assertEqual(self.fork(child), (None, b""))
        self.assertIs(wrapper.connection, inherited)
        inherited.socket.send(b"parent")
        # Nothing of what the child wrote.
        self.assertEqual(inherited.server.recv(16), b"parent")

    def test_state_of_subclass(self):
        wrapper, inherited = socket_wrapper(self, RoleWrapper)
        wrapper.set_role(b"alice")

        def child():
            wrapper.close_if_unusable_or_obsolete()
            wrapper.set_role(b"alice")
            role = wrapper.connection.server.recv(16)
            return role, wrapper.connection is inherited

        self.assertEqual(self.fork(child), (b"alice", False))
        self.assertIs(wrapper.connection, inherited)
        self.assertEqual(wrapper.role, b"alice")

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

    def test_sibling_and_grandchild(self):
        def child():
            used = self.used()
            mine = connection.connection

            def grandchild():
                return self.used() or connection.connection is mine

            return used, run_in_fork(grandchild), connection.connection is mine

        for _ in range(2):
            self.assertEqual(run_in_fork(child), (False, False, True))
        self.assertIs(self.used(), True)

    def check_in_atomic(self, child, block=None):
        with block or transaction.atomic():
            Square.objects.create(root=1, square=1)
            result = run_in_fork(child)
            # The parent's transaction is still there.
            self.assertEqual(Square.objects.count(), 1)
        self.assertIs(self.used(), True)
        connection.close()
        self.assertEqual(Square.objects.count(), 1)
        return result

    def test_atomic(self):
        self.assertIs(self.check_in_atomic(self.refused), True)

    def test_close_in_atomic(self):
        def child():
            connection.close()
            connections.close_all()
            return self.refused()

        self.assertIs(self.check_in_atomic(child), True)

    def test_atomic_left(self):
        block = transaction.atomic()

        def child():
            block.__exit__(None, None, None)
            # It hasn't been committed, and this isn't the parent's session.
            return Square.objects.count(), connection.in_atomic_block

        with block:
            Square.objects.create(root=1, square=1)
            self.assertEqual(run_in_fork(child), (0, False))
            self.assertEqual(Square.objects.count(), 1)
        self.assertIs(self.used(), True)

    def test_on_commit(self):
        called = []
        block = transaction.atomic()

        def child():
            block.__exit__(None, None, None)
            with transaction.atomic():
                Square.objects.count()
            return called

        with block:
            transaction.on_commit(lambda: called.append(os.getpid()))
            self.assertEqual(run_in_fork(child), [])
        self.assertEqual(called, [os.getpid()])

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

    @skipUnlessDBFeature("has_select_for_update_skip_locked")
    def test_query_in_thread(self):
        squares = [Square.objects.create(root=i, square=i) for i in range(2)]

        @contextlib.contextmanager
        def last_locked():
            try:
                with transaction.atomic():
                    yield Square.objects.select_for_update().get(pk=squares[1].pk)
            finally:
                connection.close()

        def first_locked():
            with transaction.atomic():
                unlocked = Square.objects.select_for_update(skip_locked=True)
                return not unlocked.filter(pk=squares[0].pk)

        def update():
            try:
                return Square.objects.update(square=2)
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as executor:
            with in_thread(last_locked()):
                updated = executor.submit(update)
                # It's in the query until it gets the last row's lock.
                wait_until(first_locked)
                self.assertIs(run_in_fork(self.used), False)
                self.assertIs(updated.done(), False)
            self.assertEqual(updated.result(), 2)
        self.assertIs(self.used(), True)
