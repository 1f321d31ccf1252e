import os
import unittest
import weakref
from unittest import mock

from backends.forking import run_in_fork
from backends.forking_helpers import UnknownWrapper, run_script
from backends.forking_scripts import CONNECT, ConnectionMixin, ScriptForkTestsMixin
from backends.forking_unnoticed import run_in_unnoticed_fork

from django.db import connection, connections, transaction
from django.db.backends.base import base
from django.test import TransactionTestCase, skipUnlessDBFeature

from ..models import Square
from . import test_fork

# A hook that is registered before Django's opens a connection in the child.
EARLY_HOOK_SCRIPT = f"""
import os

opened = []


def open_connection():
    connection.ensure_connection()
    opened.append(connection.connection)


os.register_at_fork(after_in_child=open_connection)
{CONNECT}
connection.ensure_connection()
inherited = connection.connection
if (pid := os.fork()) == 0:
    end_in_time()
    print(connection.connection is opened[0], opened[0] is inherited, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(connection.is_usable(), flush=True)
os._exit(0)
"""


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class UnnoticedForkDiscardTests(test_fork.DiscardTests):
    """The same without an at-fork hook."""

    fork = staticmethod(run_in_unnoticed_fork)

    def test_noticed_by_ancestor(self):
        """An ancestor, with another id, noticed a fork before this one."""
        wrapper = UnknownWrapper()
        with mock.patch.multiple(
            base,
            _noticed=True,
            _pid=-1,
            _sockets={},
            _inherited=[],
            _wrappers=weakref.WeakValueDictionary({0: wrapper}),
        ):
            base._check_fork()
        self.assertIsNone(wrapper.connection)


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
@skipUnlessDBFeature("test_db_allows_multiple_connections", "supports_transactions")
class ConnectionUnnoticedForkTests(ConnectionMixin, TransactionTestCase):
    def test_query(self):
        self.assertIs(run_in_unnoticed_fork(self.used), False)
        self.assertIs(self.used(), True)

    def test_same_process_id(self):
        # As in a nested namespace of process ids, but noticed by the hook.
        pid = os.getpid()
        with mock.patch.object(base, "_getpid", lambda: pid, create=True):
            self.assertIs(run_in_fork(self.used), False)

    def test_process_id_replaced(self):
        with mock.patch("os.getpid", return_value=-1):
            self.assertIs(self.used(), True)

    def test_close(self):
        def child():
            # Also what a hook does that was registered before Django's.
            connection.close()
            connections.close_all()
            return self.refused()

        with transaction.atomic():
            Square.objects.create(root=1, square=1)
            self.assertIs(run_in_unnoticed_fork(child), True)
            self.assertIs(self.used(), True)
        connection.close()
        self.assertEqual(self.roots(), [1])

    def test_atomic_left(self):
        block = transaction.atomic()

        def child():
            block.__exit__(None, None, None)
            return self.used(), self.roots()

        with block:
            Square.objects.create(root=1, square=1)
            self.assertEqual(run_in_unnoticed_fork(child), (False, []))
            self.assertIs(self.used(), True)
        connection.close()
        self.assertEqual(self.roots(), [1])

    def test_rollback(self):
        for func in (transaction.rollback, transaction.commit):
            with self.subTest(func=func):
                transaction.set_autocommit(False)
                try:
                    Square.objects.create(root=1, square=1)
                    run_in_unnoticed_fork(func)
                    self.assertEqual(self.roots(), [1])
                finally:
                    transaction.rollback()
                    transaction.set_autocommit(True)
                self.assertEqual(self.roots(), [])

    def test_health_check(self):
        self.reconnect(CONN_HEALTH_CHECKS=True, CONN_MAX_AGE=None)
        connection.health_check_done = False
        with mock.patch.object(connection, "is_usable", return_value=True) as checked:
            result = run_in_unnoticed_fork(lambda: (self.used(), checked.called))
        self.assertEqual(result, (False, False))

    def test_ensure_connection_replaced(self):
        # As packages do to connect again.
        def ensure_connection():
            connection.close_if_health_check_failed()
            if connection.connection is None:
                connection.connect()

        def child():
            connection.connect()
            return opened.call_count

        self.reconnect(CONN_HEALTH_CHECKS=True, CONN_MAX_AGE=None)
        connection.health_check_done = False
        opened = mock.Mock(wraps=connection.get_new_connection)
        replaced = {"ensure_connection": ensure_connection}
        with mock.patch.multiple(connection, get_new_connection=opened, **replaced):
            self.assertIs(run_in_unnoticed_fork(self.used), False)
            connection.close()
            self.assertEqual(run_in_unnoticed_fork(child), 1)

    def test_hook_before_ours(self):
        settings = ScriptForkTestsMixin.script_settings(self)
        self.assertEqual(run_script(EARLY_HOOK_SCRIPT, settings), "True False\nTrue\n")
