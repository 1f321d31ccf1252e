"""
Measure, with the Django that PYTHONPATH names, what os.fork() costs: print, by
what the process has at that time, the median of the page faults in the child,
and of the seconds until it has ended.
"""

import gc
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


def main(number, forks):
    # A process of the size that an application's have.
    apps = ("admin", "auth", "contenttypes", "messages", "sessions")
    settings.configure(
        INSTALLED_APPS=[f"django.contrib.{app}" for app in apps],
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}},
    )
    django.setup()
    default = connections["default"]
    descriptors = 5 * number
    resource.setrlimit(
        resource.RLIMIT_NOFILE,
        (descriptors, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
    )
    measure(forks)
    medians = {"none": measure(forks)}
    wrappers = [DatabaseWrapper(default.settings_dict) for _ in range(number)]
    for wrapper in wrappers:
        wrapper.connection = Connection()
    medians["in use"] = measure(forks)
    del wrappers, wrapper
    gc.collect()
    idle = [Connection() for _ in range(number)]
    if hasattr(base, "_pooled"):
        # As the fork does with those that pools open.
        for each in idle:
            base._track(base._pooled, each)
    medians["idle"] = measure(forks)
    print(json.dumps(medians))


def measure(forks):
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
    main(*map(int, sys.argv[1:]))
