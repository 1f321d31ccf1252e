import os
import tempfile
import unittest
from pathlib import Path

from backends.forking import run_in_c_fork, run_in_fork, run_script

from django.db import (
    ProgrammingError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.test import TransactionTestCase

from ..models import Square

# Fork within a transaction and end the child as Python's processes end, which
# clears modules and deallocates what they refer to.
EXIT_SCRIPT = """
import os, sys

import django
from django.conf import settings
from backends.forking import end_in_time

name, mode, rows = sys.argv[1:]
engine = {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
settings.configure(DATABASES={"default": engine})
django.setup()

from django.db import connection, transaction


def count(wrapper):
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM number")
        return cursor.fetchone()[0]


with connection.cursor() as cursor:
    cursor.execute(f"PRAGMA journal_mode = {mode}")
    # Many rows don't stay in memory.
    cursor.execute("PRAGMA cache_size = 5")
    cursor.execute("CREATE TABLE number (number integer)")
    with transaction.atomic():
        cursor.executemany("INSERT INTO number VALUES (%s)", [[1]] * int(rows))
        if (pid := os.fork()) == 0:
            end_in_time()
            print(count(connection.copy()), flush=True)
            sys.exit()
        status = os.waitpid(pid, 0)[1]
        print(status, count(connection), flush=True)
connection.close()
cursor = connection.cursor()
cursor.execute("PRAGMA integrity_check")
print(count(connection), *cursor.fetchone())
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
        self.assertEqual(run_in_fork(child), 2)
        self.assertEqual(run_in_c_fork(child), 2)
        self.assertEqual(Square.objects.count(), 1)


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

    def test_fork_in_c(self):
        def child():
            close_old_connections()
            return self.used()

        self.assertIs(run_in_c_fork(child), False)
        self.check_intact(1)

    def test_fork_in_c_with_child_hook(self):
        self.assertIs(run_in_c_fork(self.used, child_hook=True), False)
        self.check_intact(1)

    def test_write_transaction(self):
        journal = Path(f"{self.name}-{self.journal}")

        def child():
            with self.assertRaises(ProgrammingError):
                self.count()
            # Only what's been committed.
            return self.count(self.wrapper.copy())

        with transaction.atomic():
            self.insert()
            self.assertEqual(run_in_fork(child), 0)
            self.assertIs(journal.exists(), True)
            self.assertEqual(self.count(), 1)
        self.check_intact(1)

    def test_sys_exit_in_write_transaction(self):
        name = str(Path(self.name).with_name("exit.sqlite3"))
        output = run_script(EXIT_SCRIPT, name, self.journal_mode, self.rows)
        # The child, and the parent before and after its commit.
        self.assertEqual(output, f"0\n0 {self.rows}\n{self.rows} ok\n")


@unittest.skipUnless(connection.vendor == "sqlite", "SQLite tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class RollbackJournalForkTests(FileForkTestsMixin, TransactionTestCase):
    journal_mode = "delete"
    journal = "journal"
    rows = "1"


@unittest.skipUnless(connection.vendor == "sqlite", "SQLite tests")
@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class WriteAheadLogForkTests(FileForkTestsMixin, TransactionTestCase):
    journal_mode = "wal"
    journal = "wal"
    rows = "10000"
