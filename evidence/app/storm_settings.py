"""What app.storm needs besides: a pool that grows and shrinks all the time."""

import contextlib

from app.settings import *  # NOQA: F403

if "pool" in DATABASE.get("OPTIONS", {}):  # NOQA: F405
    # In seconds.
    DATABASE["OPTIONS"]["pool"] = {  # NOQA: F405
        "min_size": 1,
        "max_size": 8,
        "max_idle": 0.2,
        "timeout": 15,
    }

with contextlib.suppress(ImportError):
    import pymysql

    # As though it was mysqlclient, of the version that Django requires.
    pymysql.version_info = (2, 2, 7, "final", 0)
    pymysql.install_as_MySQLdb()
    # Else it makes a context for each connection, and OpenSSL leaves a lock
    # held in the child if another thread is just doing so: 40 of 1,000 hung.
    DATABASE["OPTIONS"] = {"ssl_disabled": True}  # NOQA: F405
