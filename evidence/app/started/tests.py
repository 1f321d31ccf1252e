"""Tests that start a process."""

from app.child import in_child, session, whose
from app.started.models import Row

from django.test import TestCase, TransactionTestCase


def told(first=lambda: None):
    """Print what a child finds that calls `first()`."""
    Row.objects.create()
    parent = session()

    def child():
        first()
        return f"{whose(session(), parent)}, {Row.objects.count()} of 1 rows"

    print("child:", in_child(child), flush=True)


class InTransactionTestCase(TransactionTestCase):
    def test_child(self):
        told()


class InTestCase(TestCase):
    def test_child(self):
        told()
