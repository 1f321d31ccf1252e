import _sqlite3
import contextlib
import ctypes
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from backends.forking import TIMEOUT, run_in_fork
from backends.forking_helpers import forked, in_thread
from backends.forking_unnoticed import run_in_unnoticed_fork

from django.db import (
    OperationalError,
    ProgrammingError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.db.backends.base import base
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

from ..models import Square

# Python 3.12's: without it, inherited connections aren't closed.
CLOSABLE = hasattr(sqlite3.Connection, "setconfig")

# Commit rows, and be killed before the log is written to the database.
KILLED_SCRIPT = """
import os, signal, sqlite3, sys

connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO number VALUES (2), (3)")
connection.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""


@unittest.skipUnless(connection.vendor == "sqlite", "SQLite tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class MemoryForkTests(TransactionTestCase):
    available_apps = ["backends"]

    def test_inherited(self):
        if not connection.is_in_memory_db():
            self.skipTest("The database isn't in memory.")
        Square.objects.create(root=1, square=1)

        def child():
            Square.objects.create(root=2, square=4)
            return Square.objects.count()

        # Each process has its own copy.
        with in_thread(connection._thread_sharing_lock):
            self.assertEqual(run_in_fork(child), 2)
        self.assertEqual(run_in_unnoticed_fork(child), 2)
        self.assertEqual(Square.objects.count(), 1)

    def test_names(self):
        for name in (
            "file::memory:",
            "file::memory:?cache=shared",
            "file:fork?mode=memory&cache=shared",
            "file:%3Amemory%3A",
            "file:/tmp?vfs=memdb",  # There's a file of that name.
            "file:",  # A file of its own.
        ):
            with self.subTest(name=name):
                wrapper_class = type(connections["default"])
                wrapper = wrapper_class({**connection.settings_dict, "NAME": name})
                self.addCleanup(BaseDatabaseWrapper.close, wrapper)
                with wrapper.cursor() as cursor:
                    cursor.execute("CREATE TABLE number AS SELECT 1")

                def child():
                    with wrapper.cursor() as cursor:
                        cursor.execute("INSERT INTO number VALUES (2)")
                        cursor.execute("SELECT count(*) FROM number")
                        return cursor.fetchone()

                self.assertEqual(run_in_fork(child), (2,))


class FileForkTestsMixin:
    available_apps = []

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.name = str(Path(directory.name, "db.sqlite3"))
        default = connections["default"]
        settings = {
            **default.settings_dict,
            "NAME": self.name,
            "CONN_MAX_AGE": None,
        }
        self.wrapper = connections["default"] = type(default)(settings)
        self.addCleanup(connections.__setitem__, "default", default)
        self.addCleanup(self.wrapper.close)
        with self.wrapper.cursor() as cursor:
            cursor.execute(f"PRAGMA journal_mode = {self.journal_mode}")
            cursor.execute("CREATE TABLE number (number integer)")
        self.inherited = self.wrapper.connection

    def insert(self):
        with self.wrapper.cursor() as cursor:
            cursor.execute("INSERT INTO number VALUES (1)")

    def count(self, wrapper=None):
        with (wrapper or self.wrapper).cursor() as cursor:
            cursor.execute("SELECT count(*) FROM number")
            return cursor.fetchone()[0]

    def check_refused(self):
        """In WAL mode, the file can't be used safely."""
        self.assertIsNot(self.wrapper.connection, self.inherited)
        wrapper = self.wrapper.copy()
        if self.journal_mode == "delete":
            self.assertEqual(self.count(wrapper), 0)
            return
        with self.assertRaisesMessage(OperationalError, "(in WAL mode) before fork()"):
            self.count(wrapper)
        self.assertIsNone(wrapper.connection)

    def check_intact(self, count):
        """The parent has its connection, and the file `count` rows."""
        self.assertIs(self.wrapper.connection, self.inherited)
        self.wrapper.close()
        self.assertEqual(self.count(), count)
        with self.wrapper.cursor() as cursor:
            cursor.execute("PRAGMA integrity_check")
            self.assertEqual(cursor.fetchone(), ("ok",))

    def used(self):
        self.insert()
        return self.wrapper.connection is self.inherited

    def test_query(self):
        self.assertIs(run_in_fork(self.used), False)
        self.check_intact(1)

    def test_unnoticed_fork(self):
        def child():
            close_old_connections()
            return self.used()

        self.assertIs(run_in_unnoticed_fork(child), False)
        self.check_intact(1)

    def test_parent_closes_first(self):
        def child(pipe):
            self.count()
            pipe.send(self.wrapper.connection is self.inherited)
            pipe.recv()
            self.insert()
            self.wrapper.close()
            pipe.send("committed")

        with forked(child) as (_, pipe):
            self.assertIs(pipe.recv(), False)
            self.wrapper.close()
            pipe.send("closed")
            self.assertEqual(pipe.recv(), "committed")
        with sqlite3.connect(self.name) as connection:
            count = connection.execute("SELECT count(*) FROM number").fetchone()
        connection.close()
        self.assertEqual(count, (1,))

    def test_idle_connections_closed_first(self):
        from django.db.backends.sqlite3 import base

        def close(connection, file):
            closed.append(connection)
            closing.set()
            leave.wait(TIMEOUT)

        def connect():
            wrapper = self.wrapper.copy()
            wrapper.ensure_connection()
            wrapper.close()

        closed, closing, leave = [], threading.Event(), threading.Event()
        with (
            mock.patch.object(base, "_to_close", [(None, None)]),
            mock.patch.object(base, "_close_inherited", close),
            ThreadPoolExecutor(2) as executor,
        ):
            try:
                first = executor.submit(connect)
                self.assertIs(closing.wait(TIMEOUT), True)
                second = executor.submit(connect)
                with self.assertRaises(TimeoutError):
                    second.result(timeout=0.2)
            finally:
                leave.set()
            first.result()
            second.result()
        self.assertEqual(closed, [None])

    def test_half_read_cursor(self):
        def child(pipe):
            self.count()
            pipe.send(self.wrapper.connection is self.inherited)
            pipe.recv()
            self.insert()
            pipe.send("committed")

        self.insert()
        self.insert()
        cursor = self.wrapper.cursor()
        cursor.execute("SELECT * FROM number")
        self.assertEqual(cursor.fetchone(), (1,))
        with forked(child) as (_, pipe):
            self.assertIs(pipe.recv(), False)
            self.assertEqual(cursor.fetchall(), [(1,)])
            cursor.close()
            pipe.send("read")
            self.assertEqual(pipe.recv(), "committed")
        self.check_intact(3)

    def test_allocating_in_another_thread(self):
        """A child that doesn't use SQLite needs none of its locks."""
        library = ctypes.CDLL(_sqlite3.__file__)
        if not hasattr(library, "sqlite3_mutex_alloc"):
            self.skipTest("Python's SQLite doesn't tell of its locks.")
        library.sqlite3_mutex_alloc.restype = ctypes.c_void_p
        # SQLITE_MUTEX_STATIC_MEM
        mutex = ctypes.c_void_p(library.sqlite3_mutex_alloc(3))

        @contextlib.contextmanager
        def allocating():
            library.sqlite3_mutex_enter(mutex)
            try:
                yield
            finally:
                library.sqlite3_mutex_leave(mutex)

        with in_thread(allocating()):
            self.assertIsNone(run_in_fork(lambda: self.wrapper.connection))
        self.check_intact(0)

    def test_querying_in_another_thread(self):
        reached, leave = threading.Event(), threading.Event()

        def wait():
            reached.set()
            leave.wait(TIMEOUT)

        def query():
            wrapper = self.wrapper.copy()
            with wrapper.cursor() as cursor:
                wrapper.connection.create_function("wait", 0, wait)
                cursor.execute("SELECT wait()")
            wrapper.close()

        with ThreadPoolExecutor(1) as executor:
            queried = executor.submit(query)
            try:
                self.assertIs(reached.wait(TIMEOUT), True)
                run_in_fork(self.check_refused)
            finally:
                leave.set()
            queried.result()
        self.check_intact(0)

    def test_autocommit_off_in_write_transaction(self):
        transaction.set_autocommit(False)
        try:
            self.insert()
            run_in_fork(self.check_refused)
            transaction.commit()
        finally:
            transaction.set_autocommit(True)
        self.check_intact(1)

    def test_statement_writing(self):
        with self.wrapper.cursor() as cursor:
            cursor.execute("INSERT INTO number VALUES (1), (1) RETURNING number")
            run_in_fork(self.check_refused)
            self.assertEqual(cursor.fetchall(), [(1,), (1,)])
        self.check_intact(2)

    def test_closed_in_transaction(self):
        def child():
            with self.assertRaises(ProgrammingError):
                self.count()
            return self.wrapper.connection, log.called

        with transaction.atomic(), mock.patch.object(base.logger, "exception") as log:
            self.wrapper.close()
            self.assertEqual(run_in_fork(child), (None, False))

    def test_write_transaction(self):
        journal = Path(f"{self.name}-{self.journal}")

        def child():
            with self.assertRaises(ProgrammingError):
                self.count()
            # Only what's been committed.
            self.check_refused()

        with transaction.atomic():
            self.insert()
            run_in_fork(child)
            self.assertIs(journal.exists(), True)
            self.assertEqual(self.count(), 1)
        self.check_intact(1)


@unittest.skipUnless(connection.vendor == "sqlite", "SQLite tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class RollbackJournalForkTests(FileForkTestsMixin, TransactionTestCase):
    journal_mode = "delete"
    journal = "journal"

    def test_attached_database(self):
        name = f"{self.name}-attached"
        with self.wrapper.cursor() as cursor:
            cursor.execute("ATTACH %s AS attached", [name])
            cursor.execute("PRAGMA attached.locking_mode = exclusive")
            cursor.execute("PRAGMA attached.journal_mode = wal")
            cursor.execute("CREATE TABLE attached.number AS SELECT 1")
        self.assertEqual(run_in_fork(self.count), 0)
        self.assertIs(Path(f"{name}-wal").exists(), True)

    @unittest.skipUnless(CLOSABLE, "requires sqlite3.Connection.setconfig()")
    def test_exclusive(self):
        """A child has no lock that its parent had, and gets its own."""

        def child(pipe):
            pipe.recv()
            with self.assertRaisesMessage(OperationalError, "locked"):
                self.count()
            pipe.send("locked")
            pipe.recv()
            pipe.send(self.used())

        with self.wrapper.cursor() as cursor:
            cursor.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.insert()
        self.wrapper.settings_dict["OPTIONS"] = {"timeout": 0.1}
        with forked(child) as (_, pipe):
            with transaction.atomic():
                self.insert()
                pipe.send("inserted")
                self.assertEqual(pipe.recv(), "locked")
                # The child didn't remove it.
                self.assertIs(Path(f"{self.name}-journal").exists(), True)
            self.wrapper.close()
            pipe.send("closed")
            self.assertIs(pipe.recv(), False)
        self.assertEqual(self.count(), 3)

    def test_driver_of_subclass(self):
        wrapper = self.wrapper.copy()
        # It may be another driver's.
        wrapper.get_new_connection = lambda conn_params: sqlite3.connect(**conn_params)
        self.addCleanup(wrapper.close)
        self.assertEqual(self.count(wrapper), 0)
        inherited = wrapper.connection
        self.assertIs(run_in_fork(lambda: wrapper.connection is inherited), True)

    def test_log_that_cannot_be_kept(self):
        """Before Python 3.12, to close a connection may remove the log."""
        with self.wrapper.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = wal")
        self.journal_mode = "wal"
        child, result = (self.used, False) if CLOSABLE else (self.check_refused, None)
        self.assertIs(run_in_fork(child), result)
        self.check_intact(int(CLOSABLE))


@unittest.skipUnless(CLOSABLE, "requires sqlite3.Connection.setconfig()")
@unittest.skipUnless(connection.vendor == "sqlite", "SQLite tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class WriteAheadLogForkTests(FileForkTestsMixin, TransactionTestCase):
    journal_mode = "wal"
    journal = "wal"

    def rows_of_file(self):
        """Return the number of rows that another program reads."""
        with contextlib.closing(sqlite3.connect(self.name)) as other:
            self.assertEqual(
                other.execute("PRAGMA integrity_check").fetchone(), ("ok",)
            )
            return other.execute("SELECT count(*) FROM number").fetchone()[0]

    def test_siblings(self):
        def child(pipe):
            pipe.recv()
            self.insert()
            self.insert()
            pipe.send(self.wrapper.connection is self.inherited)
            # Without closing the connection.
            os._exit(0)

        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(forked(child)) for _ in range(5)]
            self.wrapper.close()
            for process, pipe in children:
                pipe.send("insert")
                self.assertIs(pipe.recv(), False)
                process.join(TIMEOUT)
        self.assertEqual(self.rows_of_file(), 10)

    def test_log_of_killed_program(self):
        def child(pipe):
            pipe.recv()
            pipe.send((self.count(), self.wrapper.connection is self.inherited))

        self.insert()
        with forked(child) as (_, pipe):
            self.wrapper.close()
            subprocess.run([sys.executable, "-c", KILLED_SCRIPT, self.name])
            pipe.send("killed")
            self.assertEqual(pipe.recv(), (3, False))
        self.assertEqual(self.rows_of_file(), 3)

    def test_exclusive(self):
        self.wrapper.close()
        with self.wrapper.cursor() as cursor:
            cursor.execute("PRAGMA locking_mode = EXCLUSIVE")
            cursor.execute("PRAGMA journal_mode = wal")
            cursor.executemany("INSERT INTO number VALUES (%s)", [[1]] * 200)
        self.inherited = self.wrapper.connection

        def child(pipe):
            pipe.recv()
            self.wrapper.settings_dict["OPTIONS"] = {"timeout": 0.1}
            with self.assertRaisesMessage(OperationalError, "locked"):
                self.count()
            pipe.send("locked")

        with forked(child) as (_, pipe):
            with self.wrapper.cursor() as cursor:
                cursor.execute("UPDATE number SET number = 2")
                cursor.executemany("INSERT INTO number VALUES (%s)", [[1]] * 1000)
                cursor.execute("PRAGMA wal_checkpoint")
            self.insert()
            pipe.send("inserted")
            self.assertEqual(pipe.recv(), "locked")
        self.check_intact(1201)

    @contextlib.contextmanager
    def connected(self, name):
        wrapper = type(self.wrapper)({**self.wrapper.settings_dict, "NAME": name})
        wrapper.ensure_connection()
        try:
            yield
        finally:
            wrapper.close()

    def test_connected_in_another_thread(self):
        other = f"{self.name}-other"

        def used_without_other():
            os.unlink(other)
            return self.used()

        def refused_by_uri():
            self.wrapper.settings_dict["NAME"] = f"file:{self.name}"
            self.check_refused()

        for name, child, result in (
            (self.name, self.check_refused, None),
            (self.name, refused_by_uri, None),
            (f"file:{self.name}", self.check_refused, None),
            (other, self.used, False),
            (other, used_without_other, False),
        ):
            with self.subTest(name=name), in_thread(self.connected(name)):
                self.assertIs(run_in_fork(child), result)
        self.check_intact(2)
