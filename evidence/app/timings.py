"""
Time, with pyperf, what a process that is forked waits for:

    python -m app.timings WHAT [option of pyperf's]...

WHAT is the name of a function below, as evidence/bench.py lists them. Each
returns the seconds that so many loops took.
"""

import os
import struct
import sys
import time

import psycopg
import pyperf
from app.child import configured, values, wrapper

QUERY = "SELECT 1"


def fork(loops):
    """Fork, and wait for the end of the child."""
    start = time.perf_counter()
    for _ in range(loops):
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return time.perf_counter() - start


def child(loops):
    """Ask first in a child whose parent is connected."""
    values(QUERY)
    return sum(_in_child(_ask) for _ in range(loops))


def child_of_closed(loops):
    """Ask first in a child whose parent has closed its connection."""
    values(QUERY)
    wrapper().close()
    return sum(_in_child(_ask) for _ in range(loops))


def bare(loops):
    """Connect and ask in a child, without Django."""
    values(QUERY)
    wrapper().close()
    parameters = wrapper().get_connection_params()
    for name in ("cursor_factory", "context"):
        del parameters[name]

    def ask():
        psycopg.connect(**parameters).execute(QUERY).fetchone()

    return sum(_in_child(ask) for _ in range(loops))


def _ask():
    values(QUERY)


def _in_child(function):
    """Return the seconds that `function()` takes in a child."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        start = time.perf_counter()
        function()
        os.write(writer, struct.pack("d", time.perf_counter() - start))
        os._exit(0)
    os.waitpid(pid, 0)
    (seconds,) = struct.unpack("d", os.read(reader, 8))
    os.close(reader)
    os.close(writer)
    return seconds


if __name__ == "__main__":
    what = sys.argv.pop(1)
    configured(opened=False)
    runner = pyperf.Runner(
        program_args=["-m", "app.timings", what],
        processes=1,
        values=10,
        warmups=1,
        loops=5,
        min_time=1e-6,
    )
    runner.bench_time_func(what, globals()[what])
