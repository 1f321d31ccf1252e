"""
What is called in a forked process to rid it of its parent's connections:

    python -m app.hooks CASE

CASE is the name of a function below, as evidence/hooks.py lists them.
"""

import sys
from functools import partial

from app.child import asked, configured, run

from django import db
from django.db import connection, connections


def close_all():
    connections.close_all()


def close_each():
    for each in connections.all():
        each.close()


def close():
    connection.close()


def close_old():
    db.close_old_connections()


def close_old_of_wrapper():
    connection.close_if_unusable_or_obsolete()


def close_drivers():
    if connection.connection is not None:
        connection.connection.close()


def close_pool():
    connection.close_pool()


def close_pools():
    for each in connections.all():
        each.close_pool()


def close_pool_itself():
    connection.pool.close()


def close_all_pools():
    for pool in _pools().values():
        pool.close()


def clear_pools():
    _pools().clear()


def clear_pools_and_close():
    _pools().clear()
    connections.close_all()


def pop_pool():
    _pools().pop("default", None)


def replace_pools():
    type(connections["default"])._connection_pools = {}


def forget_connection():
    connection.connection = None


def forget_connections():
    for each in connections.all():
        each.connection = None


def forget_wrapper():
    del connections["default"]


def connect():
    connection.connect()


def ensure_connection():
    connection.ensure_connection()


def _pools():
    return type(connections["default"])._connection_pools


if __name__ == "__main__":
    configured()
    run(
        {
            name: partial(asked, hook)
            for name, hook in dict(globals()).items()
            if callable(hook)
        },
        sys.argv[1],
    )
