import os
import unittest

from backends.forking import run_in_fork
from backends.forking_helpers import in_thread

from django.dispatch import Signal
from django.test import SimpleTestCase


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class SignalForkTests(SimpleTestCase):
    """A lock that's held by another thread during fork() isn't inherited."""

    def receiver(self, **kwargs):
        return "received"

    def responses(self, signal):
        return [response for _, response in signal.send(sender=type(self))]

    def test_send(self):
        signal = Signal()
        signal.connect(self.receiver)
        with in_thread(signal.lock):
            responses = run_in_fork(lambda: self.responses(signal))
        self.assertEqual(responses, ["received"])
        self.assertEqual(self.responses(signal), ["received"])

    def test_connect(self):
        signal = Signal()

        def connect():
            signal.connect(self.receiver)
            return self.responses(signal)

        with in_thread(signal.lock):
            self.assertEqual(run_in_fork(connect), ["received"])
        self.assertEqual(self.responses(signal), [])
