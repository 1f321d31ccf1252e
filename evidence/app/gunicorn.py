"""The configuration of gunicorn."""

from app import workaround
from app.telling import ask


def post_fork(server, worker):
    """Run in each new worker."""
    workaround.in_child()


def child_exit(server, worker):
    """Run in the parent when a worker has ended."""
    ask(1, parent=True)
