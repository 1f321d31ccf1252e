"""
Measure what os.fork() costs a process with so many connections:

    python -m app.forks FORKS KIND NUMBER

KIND is "persistent", "checked out" of a pool, or "idle" in one. What is
printed, as JSON, are the medians of FORKS forks: of the page faults in the
child, and of the seconds until it has ended.
"""

import json
import os
import resource
import socket
import statistics
import struct
import sys
import time

import django
from django.conf import settings
from django.db import connections
from django.db.backends.base import base
from django.db.backends.postgresql.base import DatabaseWrapper


class Connection:
    """What a driver's connection is here: something with a socket."""

    closed = False

    def __init__(self):
        self.socket, self.server = socket.socketpair()

    def fileno(self):
        return self.socket.fileno()


class Pool:
    """What a pool is here."""


def main(forks, kind, number):
    # A process of the size that an application's have.
    apps = ("admin", "auth", "contenttypes", "messages", "sessions")
    settings.configure(
        INSTALLED_APPS=[f"django.contrib.{app}" for app in apps],
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}},
    )
    django.setup()
    default = connections["default"]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kept = [Connection() for _ in range(number)]
    if kind != "persistent" and number:
        DatabaseWrapper._connection_pools["default"] = Pool()
    for each in kept if hasattr(base, "_remember_socket") else ():
        # As patched Django does with those that are opened.
        base._remember_socket(each)
    if kind != "idle":
        wrappers = [DatabaseWrapper(default.settings_dict) for _ in kept]
        for wrapper, wrapper.connection in zip(wrappers, kept):
            pass
    _measured(forks)
    print(json.dumps(_measured(forks)))


def _measured(forks):
    faults, seconds = [], []
    for _ in range(forks):
        reader, writer = os.pipe()
        start = time.monotonic()
        if (pid := os.fork()) == 0:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            os.write(writer, struct.pack("l", usage.ru_minflt))
            os._exit(0)
        os.waitpid(pid, 0)
        seconds.append(time.monotonic() - start)
        faults += struct.unpack("l", os.read(reader, 8))
        os.close(reader)
        os.close(writer)
    return statistics.median(faults), statistics.median(seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
