"""A test that starts a process."""

from app.child import in_child, session, whose
from app.started.models import Row

from django.test import TestCase


class InTestCase(TestCase):
    def test_child(self):
        """Print what a child finds."""
        Row.objects.create()
        parent = session()

        def child():
            return f"{whose(session(), parent)}, {Row.objects.count()} of 1 rows"

        print("child:", in_child(child), flush=True)
