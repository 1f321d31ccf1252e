"""
Measure, with the Django that PYTHONPATH names, how long a process that is
forked takes to get back from os.fork(), in seconds, and print the medians.
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
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql import base


class Connection:
    def __init__(self):
        self.socket, self.server = socket.socketpair()

    def fileno(self):
        return self.socket.fileno()


class Wrapper(BaseDatabaseWrapper):
    client_class = creation_class = features_class = id
    introspection_class = ops_class = id


def main(forks, *numbers):
    # A process of the size that an application's have.
    apps = ("admin", "auth", "contenttypes", "messages", "sessions")
    settings.configure(INSTALLED_APPS=[f"django.contrib.{app}" for app in apps])
    django.setup()
    descriptors = 5 * max(numbers)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    medians = {"none": measure(forks)}
    # Whose idle connections those below are.
    pooled = base.DatabaseWrapper({"OPTIONS": {}, "AUTOCOMMIT": True})
    pooled._connection_pools["default"] = Wrapper({})
    for number in numbers:
        # As a pool has them.
        connections = [Connection() for _ in range(number)]
        # Stock Django keeps no account of them.
        getattr(base, "_pooled", set()).update(connections)
        medians[f"{number} idle"] = measure(forks)
        del connections
        wrappers = [Wrapper({"AUTOCOMMIT": True}) for _ in range(number)]
        for wrapper in wrappers:
            wrapper.connection = Connection()
        medians[f"{number} in use"] = measure(forks)
        del wrappers, wrapper
    medians["dup2"] = measure_dup2(forks, max(numbers))
    print(json.dumps(medians))


def measure(forks):
    def child():
        return time.monotonic()

    samples = []
    for _ in range(forks):
        start = time.monotonic()
        samples.append(in_child(child) - start)
    return statistics.median(samples)


def measure_dup2(forks, number):
    null = os.open(os.devnull, os.O_RDWR)
    sockets = [socket.socketpair() for _ in range(number)]
    descriptors = [pair[0].fileno() for pair in sockets]

    def child():
        start = time.monotonic()
        for descriptor in descriptors:
            os.dup2(null, descriptor, inheritable=False)
        return (time.monotonic() - start) / number

    return statistics.median(in_child(child) for _ in range(forks))


def in_child(func):
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writer, struct.pack("d", func()))
        os._exit(0)
    os.waitpid(pid, 0)
    (result,) = struct.unpack("d", os.read(reader, 8))
    os.close(reader)
    os.close(writer)
    return result


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
