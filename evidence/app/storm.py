"""
Fork from threads that never pause:

    python -m app.storm FORKS THREADS ALIVE SECONDS SEED

so many times, from so many threads and the main one, with so many children
alive at most, and for so many seconds at most. Told as lines of JSON are rows
that are committed, before and after, and with each child that ended what came
of it so far; `over` is in the last one, when this process, which holds no
connection any more, waits to be killed.
"""

import faulthandler
import os
import random
import signal
import sys
import threading
import time
from collections import Counter

from app.storm_work import (
    CHILDREN,
    FAILED,
    FORK,
    PARENTS,
    PATIENCE,
    WRONG,
    WrongAnswer,
    ask,
    insert,
    iterate,
    refused,
)
from app.telling import tell

import django
from django.db import connection, connections

# How a process can end, with the status that waitpid() has of it then; the
# last two run the interpreter's own end, which a thread can't.
ENDS = {"_exit": 0, "SIGTERM": 15, "SIGKILL": 9, "exit": 0, "exception": 1 << 8}
OF_THREADS = tuple(ENDS)[:3]


class Storm:
    def __init__(self, forks, threads, alive, seconds, seed):
        self.forks = forks
        self.seed = seed
        self.end = time.monotonic() + seconds
        self.over = threading.Event()
        self.counting = threading.Lock()
        self.places = threading.Semaphore(alive)
        self.made = 0
        # How those that live are to end, by their ids.
        self.children = {}
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
        """Do what PARENTS can do, and fork, in a thread, until it is over."""
        while not self.over.is_set():
            try:
                dice.choice(PARENTS)(self, dice)
                self.count("queries")
                if dice.random() < FORK:
                    self.fork()
            except WrongAnswer:
                self.count("wrong")
            except Exception as error:
                self.note(error)
        connection.close()

    def fork(self, ends=OF_THREADS, in_block=False):
        """Fork, unless there are enough children."""
        if not self.places.acquire(blocking=False):
            return
        # So that who reaps a child knows how it ends.
        with self.counting:
            pid = None
            if self.made < self.forks:
                self.made += 1
                dice = random.Random(f"{self.seed}-child-{self.made}")
                end = dice.choice(ends)
                pid = os.fork()
                self.children[pid] = end
        if pid is None:
            self.places.release()
        elif pid == 0:
            child(dice, end, in_block)

    def count(self, name):
        with self.counting:
            self.counts[name] += 1

    def note(self, error):
        """Count an error of the parent, and begin anew."""
        with self.counting:
            self.errors[f"{type(error).__name__}: {error}".splitlines()[0]] += 1
        try:
            connection.close()
        except Exception:
            connection.connection = None

    def wait(self):
        """Fork, and reap the children until all have been; end the threads."""
        ended = 0
        self.tell()
        while ended < self.forks and not (
            time.monotonic() > self.end and ended == self.made
        ):
            if time.monotonic() > self.end:
                self.over.set()
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid = 0
            if not pid:
                time.sleep(0.002)
                if not self.over.is_set() and random.random() < FORK:
                    self.fork(tuple(ENDS))
                continue
            ended += 1
            self.places.release()
            with self.counting:
                end = self.children.pop(pid)
            self.count(outcome(status, end))
            self.tell()
        self.over.set()
        deadline = time.monotonic() + PATIENCE
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))
        if hanging := sum(thread.is_alive() for thread in self.threads):
            faulthandler.dump_traceback(sys.__stderr__, all_threads=True)
            self.errors["a thread hangs"] += hanging

    def tell(self, **more):
        """Tell what came of it, lest it be lost where this process is."""
        with self.counting:
            tell(forks=self.made, **self.counts, errors=+self.errors, **more)


def child(dice, end, in_block):
    """Do what CHILDREN can do, in a process that was forked, and end it so."""
    try:
        # faulthandler says where it hangs.
        signal.alarm(PATIENCE)
        if in_block:
            refused()
        else:
            ask()
            for _ in range(2):
                dice.choice(CHILDREN)(dice)
    except WrongAnswer:
        os._exit(WRONG)
    except BaseException as error:
        print(f"In a child: {type(error).__name__}: {error}", file=sys.stderr)
        os._exit(FAILED)
    if end in ("SIGTERM", "SIGKILL"):
        os.kill(os.getpid(), getattr(signal, end))
    elif end == "exit":
        sys.exit()
    elif end == "exception":
        sys.stderr = None
        raise RuntimeError(end)
    os._exit(0)


def outcome(status, end):
    """Return what the status of a child means that was to end so."""
    if status == ENDS[end]:
        return "ended"
    if os.WIFSIGNALED(status):
        return "hung" if os.WTERMSIG(status) == signal.SIGALRM else "failed"
    return "wrong" if os.WEXITSTATUS(status) == WRONG else "failed"


def main(forks, threads, alive, seconds, seed):
    django.setup()
    random.seed(seed)
    faulthandler.register(signal.SIGALRM, sys.__stderr__, all_threads=True, chain=True)
    # Python leaves the lock of a module held that is imported during a fork.
    insert()
    iterate(None, random)
    connection.close()
    storm = Storm(forks, threads, alive, seconds, seed)
    for thread in storm.threads:
        thread.start()
    storm.wait()
    if not storm.errors["a thread hangs"]:
        connections.close_all()
        if getattr(connection, "pool", None):
            connection.close_pool()
    storm.tell(over=True)
    signal.pause()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
