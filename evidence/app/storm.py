"""
Fork from threads that query without pause:

    python -W ignore -m app.storm FORKS THREADS ALIVE SECONDS SEED

so many times, from so many threads, with so many children alive at most, and
for so many seconds at most. What came of it is told as a line of JSON; then
this process, which holds no connection any more, waits to be killed.
"""

import faulthandler
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter

from app.echo import echo
from app.telling import tell

import django
from django.db import connection, connections

# In seconds: how long a child has, and the threads once it is over.
PATIENCE = 15

# Of each child.
QUERIES = 3

# How often a thread forks, and lets go of its connection, after a query.
FORK, CLOSE = 0.2, 0.3

WRONG, FAILED = 3, 4


class Storm:
    def __init__(self, forks, threads, alive, seconds, seed):
        self.forks = forks
        self.end = time.monotonic() + seconds
        self.over = threading.Event()
        self.counting = threading.Lock()
        self.places = threading.Semaphore(alive)
        self.children = 0
        self.counts = Counter()
        self.errors = Counter()
        self.threads = [
            threading.Thread(target=self.run, args=[random.Random(f"{seed}-{number}")])
            for number in range(threads)
        ]
        # The children aren't to wait for those that hang.
        for thread in self.threads:
            thread.daemon = True

    def run(self, dice):
        """Query, fork, and close, in a thread, until it is over."""
        while not self.over.is_set():
            try:
                self.count("queries" if right() else "wrong")
                if dice.random() < FORK:
                    self.fork()
                if dice.random() < CLOSE:
                    connection.close()
            except Exception as error:
                self.note(error)
        connection.close()

    def fork(self):
        """Fork, unless there are enough children."""
        if not self.places.acquire(blocking=False):
            return
        with self.counting:
            made = self.children < self.forks
            self.children += made
        if not made:
            self.places.release()
        elif os.fork() == 0:
            child()

    def count(self, name, number=1):
        with self.counting:
            self.counts[name] += number

    def note(self, error):
        """Count an error of the parent, and begin anew."""
        with self.counting:
            self.errors[f"{type(error).__name__}: {error}".splitlines()[0]] += 1
        try:
            connection.close()
        except Exception:
            connection.connection = None

    def wait(self):
        """Reap the children until all have been, and end the threads."""
        ended = 0
        while ended < self.forks and not (
            time.monotonic() > self.end and ended == self.children
        ):
            if time.monotonic() > self.end:
                self.over.set()
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid = 0
            if not pid:
                time.sleep(0.002)
                continue
            ended += 1
            self.places.release()
            self.count(outcome(status))
        self.over.set()
        deadline = time.monotonic() + PATIENCE
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))
        if hanging := sum(thread.is_alive() for thread in self.threads):
            faulthandler.dump_traceback(sys.__stderr__, all_threads=True)
            self.errors["a thread hangs"] += hanging


def right():
    """Return whether the answer to a query is the one to it."""
    token = uuid.uuid4().hex
    return echo(token)["token"] == token


def child():
    """Query in a process that was forked, and end it."""
    status = FAILED
    try:
        # faulthandler says where it hangs.
        signal.alarm(PATIENCE)
        answers = [right() for _ in range(QUERIES)]
        connections.close_all()
        status = 0 if all(answers) else WRONG
    except Exception as error:
        print(f"In a child: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(status)


def outcome(status):
    """Return what the status of a child means."""
    if os.WIFSIGNALED(status):
        hung = os.WTERMSIG(status) == signal.SIGALRM
        return "hung" if hung else "failed"
    return {0: "ended", WRONG: "wrong"}.get(os.WEXITSTATUS(status), "failed")


def main(forks, threads, alive, seconds, seed):
    django.setup()
    faulthandler.register(signal.SIGALRM, sys.__stderr__, all_threads=True, chain=True)
    storm = Storm(forks, threads, alive, seconds, seed)
    for thread in storm.threads:
        thread.start()
    storm.wait()
    if not storm.errors["a thread hangs"]:
        connections.close_all()
        if connection.pool:
            connection.close_pool()
    tell(forks=storm.children, **storm.counts, errors=storm.errors)
    signal.pause()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
