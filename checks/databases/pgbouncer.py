"""PgBouncer in transaction mode, in front of Debian's PostgreSQL."""

import contextlib
import socket

from checks.databases import postgresql
from checks.databases.serving import (
    Server,
    free_port,
    program,
    running,
    temporary,
    unprivileged,
)

CONFIGURATION = """\
[databases]
* = host={HOST} port={PORT} user={USER}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
server_tls_sslmode = require
max_client_conn = 500
default_pool_size = 20
# So that the test databases can be dropped.
server_idle_timeout = 1
ignore_startup_parameters = extra_float_digits
"""


@contextlib.contextmanager
def transaction():
    """
    Yield the settings, as in Django's DATABASES, of a PgBouncer on a free port
    of 127.0.0.1. Raise OverlayError where it isn't installed or doesn't start.
    """
    command = program("pgbouncer", "pgbouncer")
    user = unprivileged("postgres")
    with (
        postgresql.debian() as settings,
        temporary("pgbouncer", user) as directory,
    ):
        port, configuration = free_port(), directory / "pgbouncer.ini"
        configuration.write_text(CONFIGURATION.format(port=port, **settings))

        def ready():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True

        server = Server("PgBouncer", [command, configuration], directory, user, ready)
        with running(server):
            yield {
                **settings,
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "OPTIONS": {},
                # A cursor on the server lasts as long as a session, and a
                # transaction's end gives the session to others.
                "DISABLE_SERVER_SIDE_CURSORS": True,
            }
