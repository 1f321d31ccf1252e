"""Debian's Redis on a Unix socket."""

import contextlib
import socket

from checks.databases.serving import program, running, temporary, unprivileged


@contextlib.contextmanager
def redis():
    """
    Yield the path of the Unix socket of a Redis that keeps nothing. Raise
    OverlayError where it isn't installed or doesn't start.
    """
    command = program("redis-server", "redis-server")
    user = unprivileged("redis")
    with temporary("redis", user) as directory:
        address = directory / "socket"

        def ready():
            with socket.socket(socket.AF_UNIX) as client:
                return not client.connect_ex(str(address))

        # Without a port of TCP, and without a file of what is in it.
        command = [command, "--port", "0", "--unixsocket", address, "--save", ""]
        with running("Redis", command, directory, user, ready):
            yield address
