import os
from unittest import mock

from backends.forking import run_in_fork

from django.db.backends.base import base


def run_in_unnoticed_fork(func):
    """
    Return the result of calling func() in a forked process in which Django's
    at-fork hook did nothing, as where a process is forked in C.
    """
    pid = os.getpid()
    # As if a hook that was registered before had noticed the fork.
    no_hook = mock.patch.multiple(base, create=True, _noticed=True, _getpid=lambda: pid)

    def child():
        no_hook.__exit__(None, None, None)
        return func()

    with no_hook:
        return run_in_fork(child)
