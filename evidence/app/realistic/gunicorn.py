"""The configuration of gunicorn: what projects do on official Django."""

from app import workaround


def post_fork(server, worker):
    """Run in each new worker."""
    workaround.in_child()
