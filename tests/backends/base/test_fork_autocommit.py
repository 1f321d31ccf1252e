import os
import unittest
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from backends.forking import run_in_fork
from backends.forking_scripts import ConnectionMixin
from backends.forking_unnoticed import run_in_unnoticed_fork

from django.db import (
    DEFAULT_DB_ALIAS,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.test import TransactionTestCase, skipUnlessDBFeature

from ..models import Square


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
@skipUnlessDBFeature("test_db_allows_multiple_connections", "supports_transactions")
class AutocommitForkTests(ConnectionMixin, TransactionTestCase):
    def test_on_commit_autocommit_off(self):
        called = []

        def child():
            transaction.set_autocommit(True)
            return called

        transaction.set_autocommit(False)
        try:
            with transaction.atomic():
                transaction.on_commit(lambda: called.append(os.getpid()))
            transaction.commit()
            self.assertEqual(run_in_fork(child), [])
        finally:
            transaction.set_autocommit(True)
        self.assertEqual(called, [os.getpid()])

    def check_autocommit_off(self, child, fork=run_in_fork):
        transaction.set_autocommit(False)
        try:
            self.assertEqual(self.roots(), [])
            result = fork(child)
            self.assertIs(transaction.get_autocommit(), False)
            self.assertIs(self.used(), True)
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)
        return result

    def rolled_back(self):
        Square.objects.create(root=1, square=1)
        transaction.rollback()
        return self.used(), self.roots()

    def test_autocommit_off(self):
        self.assertEqual(self.check_autocommit_off(self.rolled_back), (False, []))
        self.assertEqual(self.roots(), [])

    def test_autocommit_off_unnoticed(self):
        rolled_back = self.check_autocommit_off(self.rolled_back, run_in_unnoticed_fork)
        self.assertEqual(rolled_back, (False, []))
        self.assertEqual(self.roots(), [])

    def test_autocommit_off_in_thread(self):
        def check():
            try:
                self.inherited = None
                self.used()
                self.inherited = connection.connection
                return self.check_autocommit_off(self.rolled_back)
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as executor:
            self.assertEqual(executor.submit(check).result(), (False, []))
        self.assertEqual(self.roots(), [])

    def test_autocommit_off_until_closed(self):
        for close in (connection.close, close_old_connections):
            with self.subTest(close=close):

                def child():
                    close()
                    return self.used(), transaction.get_autocommit()

                self.assertEqual(self.check_autocommit_off(child), (False, True))

    def test_autocommit_off_in_first_connection(self):
        def child():
            modes = [transaction.get_autocommit()]
            connection.close()
            return [*modes, transaction.get_autocommit()]

        self.assertEqual(self.check_autocommit_off(child), [False, True])

    def test_autocommit_at_begin_and_commit(self):
        """A signal's handler may fork while a block is entered or left."""
        parent, modes = os.getpid(), []
        wrapper = connections[DEFAULT_DB_ALIAS]
        set_autocommit = wrapper._set_autocommit

        def child():
            return self.used(), transaction.get_autocommit()

        def fork(autocommit):
            set_autocommit(autocommit)
            if os.getpid() == parent:
                modes.append(run_in_fork(child))

        with mock.patch.object(wrapper, "_set_autocommit", fork):
            with transaction.atomic():
                pass
        self.assertEqual(modes, [(False, True)] * 2)

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
