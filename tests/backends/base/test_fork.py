import contextlib
import gc
import io
import logging
import os
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from backends.forking import in_thread, run_in_c_fork, run_in_fork, run_script

from django.db import (
    ProgrammingError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.test import SimpleTestCase, TransactionTestCase, skipUnlessDBFeature

from ..models import Square


class DriverConnection:
    """A connection that logs off from the server when it's deallocated."""

    deallocated = 0

    def __del__(self):
        DriverConnection.deallocated += 1


class UnknownWrapper(BaseDatabaseWrapper):
    """A third-party backend that knows nothing of fork()."""

    client_class = mock.Mock
    creation_class = mock.Mock
    features_class = mock.Mock
    introspection_class = mock.Mock
    ops_class = mock.Mock

    def __init__(self):
        super().__init__({})
        self.connection = DriverConnection()


class BrokenWrapper(UnknownWrapper):
    def _discard(self):
        raise ValueError("broken")


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class WrapperForkTests(SimpleTestCase):
    def test_unknown_driver(self):
        wrapper = UnknownWrapper()

        def child():
            return wrapper.connection, DriverConnection.deallocated

        deallocated = DriverConnection.deallocated
        # The wrapper lets go of its connection, which isn't deallocated.
        self.assertEqual(run_in_fork(child), (None, deallocated))
        self.assertIsInstance(wrapper.connection, DriverConnection)

    def test_unknown_driver_of_another_thread(self):
        local = threading.local()

        @contextlib.contextmanager
        def opened():
            local.wrapper = UnknownWrapper()
            yield

        def child():
            gc.collect()
            return DriverConnection.deallocated

        with in_thread(opened()):
            deallocated = DriverConnection.deallocated
            self.assertEqual(run_in_fork(child), deallocated)
            self.assertEqual(DriverConnection.deallocated, deallocated)

    def test_broken_wrapper(self):
        wrappers = [UnknownWrapper(), BrokenWrapper(), UnknownWrapper()]
        logs = io.StringIO()
        handler = logging.StreamHandler(logs)
        logger = logging.getLogger("django.db.backends.fork")
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)

        def child():
            return [wrapper.connection for wrapper in wrappers], logs.getvalue()

        connections, output = run_in_fork(child)
        self.assertEqual(connections, [None, None, None])
        self.assertIn("Error discarding a connection after fork() (broken).", output)
        self.assertEqual(logs.getvalue(), "")
        for wrapper in wrappers:
            self.assertIsInstance(wrapper.connection, DriverConnection)

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
        wrapper.run_on_commit = [(set(), self.fail, False)]

        def child():
            return (
                wrapper.in_atomic_block,
                wrapper.closed_in_transaction,
                wrapper.needs_rollback,
                wrapper.run_on_commit,
            )

        self.assertEqual(run_in_fork(child), (True, True, True, []))
        self.assertIs(wrapper.closed_in_transaction, False)
        self.assertIs(wrapper.needs_rollback, False)
        self.assertEqual(len(wrapper.run_on_commit), 1)

    def test_fork_unavailable(self):
        script = (
            "import os\n"
            "del os.fork, os.register_at_fork\n"
            "from django.dispatch import Signal\n"
            "from django.db.backends.base.base import BaseDatabaseWrapper\n"
            "print(BaseDatabaseWrapper.__name__)\n"
        )
        self.assertEqual(run_script(script), "BaseDatabaseWrapper\n")


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
@skipUnlessDBFeature("test_db_allows_multiple_connections", "supports_transactions")
class ConnectionForkTests(TransactionTestCase):
    available_apps = ["backends"]

    def setUp(self):
        connection.close()
        self.assertEqual(Square.objects.count(), 0)
        self.inherited = connection.connection

    def used(self):
        """
        Return whether this process uses the connection of the test's process.
        """
        self.assertLessEqual(Square.objects.count(), 1)
        return connection.connection is self.inherited

    def test_query(self):
        self.assertIs(run_in_fork(self.used), False)
        self.assertIs(self.used(), True)

    def test_copy(self):
        wrapper = connection.copy()
        self.addCleanup(wrapper.close)
        wrapper.ensure_connection()
        inherited = wrapper.connection

        def child():
            wrapper.ensure_connection()
            return wrapper.connection is inherited

        self.assertIs(run_in_fork(child), False)
        self.assertIs(wrapper.connection, inherited)
        self.assertIs(wrapper.is_usable(), True)

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

    def test_thread(self):
        def fork_in_thread():
            try:
                Square.objects.count()
                inherited = connection.connection

                def child():
                    Square.objects.count()
                    return connection.connection is inherited

                return run_in_fork(child), connection.is_usable()
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as executor:
            self.assertEqual(executor.submit(fork_in_thread).result(), (False, True))

    def test_connection_created_lock_held(self):
        with in_thread(connection_created.lock):
            self.assertIs(run_in_fork(self.used), False)
        self.assertIs(self.used(), True)

    def check_in_atomic(self, child):
        with transaction.atomic():
            Square.objects.create(root=1, square=1)
            result = run_in_fork(child)
            # The parent's transaction is still there.
            self.assertEqual(Square.objects.count(), 1)
        self.assertIs(self.used(), True)
        connection.close()
        self.assertEqual(Square.objects.count(), 1)
        return result

    def refused(self):
        """Return whether a query is refused as it's in the parent's block."""
        msg = "Cannot open a new connection in an atomic block."
        with self.assertRaisesMessage(ProgrammingError, msg):
            Square.objects.count()
        return True

    def test_atomic(self):
        self.assertIs(self.check_in_atomic(self.refused), True)

    def test_savepoint(self):
        def child():
            with transaction.atomic():
                return self.refused()

        with transaction.atomic():
            with transaction.atomic():
                Square.objects.create(root=1, square=1)
                self.assertIs(run_in_fork(child), True)
            # The parent's savepoint was released, and another can be made.
            with transaction.atomic():
                self.assertIs(run_in_fork(self.refused), True)
            self.assertEqual(Square.objects.count(), 1)
        self.assertIs(self.used(), True)

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

    def test_autocommit_off(self):
        def child():
            return self.used(), transaction.get_autocommit()

        transaction.set_autocommit(False)
        try:
            self.assertEqual(Square.objects.count(), 0)
            self.assertEqual(run_in_fork(child), (False, True))
            self.assertIs(transaction.get_autocommit(), False)
            self.assertIs(self.used(), True)
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)

    def test_autocommit_off_atomic_left(self):
        block = transaction.atomic()

        def child():
            self.refused()
            block.__exit__(None, None, None)
            return self.used(), connection.in_atomic_block

        transaction.set_autocommit(False)
        try:
            with block:
                self.assertEqual(Square.objects.count(), 0)
                self.assertEqual(run_in_fork(child), (False, False))
                self.assertIs(self.used(), True)
            self.assertIs(transaction.get_autocommit(), False)
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)

    def test_inherited_cursor(self):
        with connection.cursor() as cursor:

            def child():
                with self.assertRaises(Exception):
                    cursor.execute("SELECT 1")
                return self.used()

            self.assertIs(run_in_fork(child), False)
            cursor.execute("SELECT 1")
            self.assertEqual(cursor.fetchone(), (1,))

    def test_fork_in_c(self):
        def child():
            close_old_connections()
            return self.used()

        self.assertIs(run_in_c_fork(child), False)
        self.assertIs(self.used(), True)

    def test_fork_in_c_connect(self):
        wrapper = connection.copy()
        self.addCleanup(wrapper.close)

        def child():
            wrapper.ensure_connection()
            return self.used()

        self.assertIs(run_in_c_fork(child), False)
        self.assertIs(self.used(), True)

    def test_fork_in_c_with_child_hook(self):
        self.assertIs(run_in_c_fork(self.used, child_hook=True), False)
        self.assertIs(self.used(), True)
