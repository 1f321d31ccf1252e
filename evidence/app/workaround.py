"""What projects do on stock Django, from ticket #36957."""


def clear_pools():
    """Forget the pools that this process has from its parent."""
    from django.db.backends.postgresql.base import DatabaseWrapper

    DatabaseWrapper._connection_pools.clear()


def post_fork(server, worker):
    """Run in each new worker of gunicorn, which this module configures."""
    clear_pools()
