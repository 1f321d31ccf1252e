"""Which process holds which session of the database server."""

import contextlib
import os

import psutil
import psycopg

from checks.databases import postgresql


def holders(leader, database):
    """
    Return the ids of the server sessions that each process in the process
    session of `leader`, a Popen, holds a socket of, by the id of the process.

    `database` is a dict as in Django's DATABASES, of a server on TCP.
    """
    with psycopg.connect(**postgresql.parameters(database)) as connection:
        sessions = dict(
            connection.execute(
                "SELECT client_port, pid FROM pg_stat_activity "
                "WHERE client_port > 0 AND pid <> pg_backend_pid()"
            ).fetchall()
        )
    held = {}
    for process in psutil.process_iter():
        # It may have ended since.
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == leader.pid:
                ports = {
                    connection.laddr.port
                    for connection in process.net_connections("tcp4")
                    if connection.laddr
                }
                held[process.pid] = sorted(
                    sessions[port] for port in ports & set(sessions)
                )
    return held
