import os
import unittest

from backends.forking import run_in_fork
from backends.forking_helpers import in_thread

from django.core.signals import request_started
from django.db.backends.signals import connection_created
from django.dispatch import Signal
from django.test import SimpleTestCase


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class SignalForkTests(SimpleTestCase):
    """A lock that's held by another thread during fork() isn't inherited."""

    def receiver(self, **kwargs):
        return "received"

    def responses(self, signal):
        return [response for _, response in signal.send(sender=type(self))]

    def check_send(self, signal):
        with in_thread(signal.lock):
            responses = run_in_fork(lambda: self.responses(signal))
        self.assertEqual(responses, ["received"])
        self.assertEqual(self.responses(signal), ["received"])

    def test_send(self):
        signal = Signal()
        signal.connect(self.receiver)
        self.check_send(signal)

    def test_connect(self):
        signal = Signal()

        def connect():
            signal.connect(self.receiver)
            return self.responses(signal)

        with in_thread(signal.lock):
            self.assertEqual(run_in_fork(connect), ["received"])
        self.assertEqual(self.responses(signal), [])

    def test_signals_of_queries_and_requests(self):
        for signal in [connection_created, request_started]:
            with self.subTest(signal=signal), in_thread(signal.lock):
                # It takes the lock, and nobody listens to this sender.
                self.assertIs(run_in_fork(lambda: self.connected(signal)), True)
                self.assertIs(signal.lock.acquire(blocking=False), False)

    def connected(self, signal):
        signal.connect(self.receiver, sender=type(self))
        return signal.disconnect(self.receiver, sender=type(self))

    def test_unhashable(self):
        class UnhashableSignal(Signal):
            def __eq__(self, other):
                return True

        signal = UnhashableSignal()
        signal.connect(self.receiver)
        self.check_send(signal)
