"""
Fork whenever a thread is about to run a line of psycopg_pool for the first
time, while pools are opened, grow, are used, fail, shrink, and are closed:

    python -W ignore steps.py DATABASE [STEP]

DATABASE is JSON, as in Django's DATABASES, of a PostgreSQL on TCP. Prints a
line for each step: what went on, the file and the line, and what came of a
child that goes on and of one that is killed at once. At the number STEP, this
process is killed, and its child goes on.
"""

import contextlib
import faulthandler
import json
import os
import queue
import signal
import stat
import sys
import threading
import time

import django
from django.conf import settings

# In seconds: how long a child has, and a thread for a step of its own.
PATIENCE = 15
# How many children live at once.
MOST = 8

# How many may be wrong before this ends.
ENOUGH = 20

database = json.loads(sys.argv[1])
KILLED_AT = int(sys.argv[2]) if len(sys.argv) > 2 else None
NAME = f"steps {os.getpid()}"
POOL = {
    "min_size": 1,
    "max_size": 3,
    "max_idle": 0.3,
    "max_lifetime": 1,
    "timeout": 30,
    "reconnect_timeout": 1,
}


def alias(pool=POOL, **changes):
    return {
        "ENGINE": "django.db.backends.postgresql",
        **database,
        "OPTIONS": {"pool": pool, "application_name": NAME},
        **changes,
    }


settings.configure(
    DATABASES={
        "default": alias(CONN_HEALTH_CHECKS=True),
        # In use in the main thread all the time.
        "other": alias(),
        # Nobody listens there.
        "refused": alias(dict(POOL, timeout=1), PORT="1"),
    }
)
django.setup()

import psycopg_pool  # noqa: E402

from django.db import connections  # noqa: E402

DIRECTORY = os.path.dirname(psycopg_pool.__file__)


class Steps:
    """What the threads that run psycopg_pool are about to do."""

    def __init__(self):
        self.seen = set()
        self.waiting = queue.SimpleQueue()
        self.phase = None
        self.connecting = 0

    def trace(self, frame, event, arg):
        """Have a thread wait for a fork before each line that is new."""
        if not frame.f_code.co_filename.startswith(DIRECTORY):
            return None
        step = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and step not in self.seen:
            self.seen.add(step)
            forked = threading.Event()
            self.waiting.put((self.phase, step, forked))
            forked.wait()
        return self.trace

    def count(self, pool_class):
        """Note how many connections pools are making."""
        connect = pool_class._connect

        def counted(*args, **kwargs):
            self.connecting += 1
            try:
                return connect(*args, **kwargs)
            finally:
                self.connecting -= 1

        pool_class._connect = counted


def sockets():
    """Return what identifies the sockets of this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            status = os.fstat(int(name))
            if stat.S_ISSOCK(status.st_mode):
                found.add(status.st_ino)
    return found


def answer(wrapper, number):
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT %s::int", [number])
        if cursor.fetchone() != (number,):
            raise RuntimeError(f"{wrapper.alias} answered another query")


def live():
    """Do all that makes psycopg_pool run its lines, and say what goes on."""
    wrapper = connections["default"]
    yield "opening"
    answer(wrapper, 1)
    yield "returning"
    wrapper.close()
    yield "growing"
    others = [wrapper.copy() for _ in range(3)]
    threads = [threading.Thread(target=answer, args=[each, 2]) for each in others]
    for each in others:
        each.inc_thread_sharing()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield "returning several"
    for each in others:
        each.close()
    yield "checking"
    answer(wrapper, 3)
    wrapper.pool.check()
    yield "losing a session"
    with contextlib.suppress(django.db.Error), wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    wrapper.close()
    answer(wrapper, 4)
    wrapper.close()
    yield "shrinking and expiring"
    time.sleep(1.5)
    yield "resizing"
    wrapper.pool.resize(2, 4)
    wrapper.pool.wait()
    wrapper.pool.get_stats()
    wrapper.pool.drain()
    answer(wrapper, 5)
    yield "being full"
    held = [wrapper.pool.getconn() for _ in range(3)]
    with contextlib.suppress(psycopg_pool.PoolTimeout):
        wrapper.pool.getconn(timeout=0.1)
    for connection in held:
        wrapper.pool.putconn(connection)
    yield "failing to connect"
    with contextlib.suppress(django.db.Error, psycopg_pool.PoolTimeout):
        connections["refused"].ensure_connection()
    time.sleep(1.5)
    yield "closing"
    wrapper.close()
    wrapper.close_pool()
    connections["refused"].close_pool()


def child(inherited, connecting, parent):
    """End this process with status 0 if all is right in it."""
    signal.alarm(PATIENCE)
    threading.settrace(None)
    if (left := len(sockets() & inherited)) > connecting:
        sys.exit(f"{left} of its parent's sockets are open")
    for name in ("default", "other"):
        wrapper = connections[name]
        wrapper.settings_dict["OPTIONS"]["application_name"] = "child"
        answer(wrapper, 6)
        if os.fstat(wrapper.connection.fileno()).st_ino in inherited:
            sys.exit(f"{name} uses its parent's socket")
        wrapper.close()
        wrapper.close_pool()
        # Another one, whose destructor runs at the end.
        answer(wrapper, 7)
    if KILLED_AT is not None:
        # The sessions of its parent end with that, but for one that the server
        # was just beginning.
        while os.getppid() == parent or sessions() > connecting:
            time.sleep(0.01)
        print("killed: ok", flush=True)
    sys.exit()


def sessions():
    """Return how many sessions the parent has."""
    with connections["other"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [NAME]
        )
        return cursor.fetchone()[0]


def outlive():
    """Go on in a process of its own, while this one waits for all it forks."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)


def main():
    if KILLED_AT is not None:
        outlive()
    steps = Steps()
    faulthandler.register(signal.SIGALRM, sys.__stderr__, all_threads=True, chain=True)
    steps.count(psycopg_pool.ConnectionPool)
    other = connections["other"]
    answer(other, 0)
    session = other.connection.info.backend_pid
    errors = []

    def run():
        sys.settrace(steps.trace)
        try:
            for steps.phase in live():
                pass
        except Exception as error:
            errors.append(error)

    threading.settrace(steps.trace)
    thread = threading.Thread(target=run)
    thread.start()
    children, wrong = {}, 0

    def reap():
        nonlocal wrong
        pid, status = os.wait()
        expected, phase, (file, line) = children.pop(pid)
        status = os.waitstatus_to_exitcode(status)
        said = "hangs" if status == -signal.SIGALRM else "fails"
        if status == expected:
            said = "ok" if status == 0 else "killed: ok"
        elif (wrong := wrong + 1) == ENOUGH:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            print(f"{ENOUGH} are enough", flush=True)
            os._exit(1)
        print(f"{phase}: {os.path.basename(file)}:{line}: {said}", flush=True)

    parent, number = os.getpid(), 0
    while thread.is_alive() or not steps.waiting.empty():
        try:
            phase, step, forked = steps.waiting.get(timeout=0.1)
        except queue.Empty:
            continue
        inherited, connecting = sockets(), steps.connecting
        number += 1
        if KILLED_AT is None:
            if (pid := os.fork()) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            children[pid] = -signal.SIGKILL, phase, step
        if KILLED_AT in (None, number):
            if (pid := os.fork()) == 0:
                child(inherited, connecting, parent)
            if KILLED_AT:
                os.kill(os.getpid(), signal.SIGKILL)
            children[pid] = 0, phase, step
        forked.set()
        while len(children) >= MOST:
            reap()
    while children:
        reap()
    answer(other, 8)
    if other.connection.info.backend_pid != session:
        errors.append("the main thread's session is another one")
    print("parent:", *(errors or ["ok"]), flush=True)


if __name__ == "__main__":
    main()
