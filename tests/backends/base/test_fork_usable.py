import os
import unittest

from backends.forking import run_in_fork

from django.db import connection
from django.test import TransactionTestCase


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class UsableForkTests(TransactionTestCase):
    available_apps = []

    def test_is_usable(self):
        connection.ensure_connection()
        self.assertIs(run_in_fork(connection.is_usable), connection.vendor == "sqlite")
        self.assertIs(connection.is_usable(), True)
