"""What the processes of a storm do, and that it comes out right."""

import os
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor

from app.telling import tell

from django.core.signals import request_started
from django.db import ProgrammingError, connection, connections, transaction

# In seconds: how long a child has, and the threads once it is over.
PATIENCE = 15

TABLE = os.environ.get("EVIDENCE_TABLE")

# How often a thread forks after what it did, and within a block.
FORK = 0.2

# The exit status of a child that did not end well.
WRONG, FAILED = 3, 4


# As every database counts.
NUMBERS = (
    "WITH RECURSIVE numbers(number) AS (SELECT %d UNION ALL SELECT number + 1 "
    "FROM numbers WHERE number < %d) SELECT number FROM numbers"
)


class WrongAnswer(Exception):
    """The answer to another query than the one that was asked."""


def ask():
    """Raise WrongAnswer unless the answer to a query is the one to it."""
    token = uuid.uuid4().hex
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [token])
        if cursor.fetchone() != (token,):
            raise WrongAnswer


def insert(rolled_back=False):
    """Insert a row, and tell before and after the commit, or roll it back."""
    key = uuid.uuid4().hex
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {TABLE} VALUES (%s)", [key])
        if rolled_back:
            transaction.set_rollback(True)
        else:
            tell(begun=key)
            transaction.on_commit(lambda: tell(committed=key))


def block(storm, dice):
    """Insert in a block, with savepoints, in which it may fork."""
    with transaction.atomic():
        ask()
        insert()
        if dice.random() < FORK:
            storm.fork(in_block=True)
        # A savepoint.
        insert(rolled_back=True)
        ask()


def iterate(storm, dice):
    """Read from a server-side cursor, if there is one, while others fork."""
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.itersize = 10
        start = dice.randrange(1_000_000)
        cursor.execute(NUMBERS % (start, start + 50))
        rows = [row for (row,) in cursor]
    if rows != [*range(start, start + 51)]:
        raise WrongAnswer


def send(storm, dice):
    """Connect to a signal, send it, and disconnect."""

    def receiver(**kwargs):
        ask()

    request_started.connect(receiver, weak=False)
    try:
        request_started.send(sender=None)
    finally:
        request_started.disconnect(receiver)


PARENTS = [
    lambda storm, dice: ask(),
    lambda storm, dice: connection.close(),
    lambda storm, dice: connections.close_all(),
    *(block, iterate, send),
]


def in_threads(dice):
    """Query in threads, which close their connections."""

    def run(_):
        try:
            ask()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as executor:
        list(executor.map(run, range(2)))


def fork_again(dice, generations=2):
    """Have a child, which has one of its own, and see that they end well."""
    if (pid := os.fork()) == 0:
        try:
            signal.alarm(PATIENCE)
            ask()
            if generations > 1:
                fork_again(dice, generations - 1)
            os._exit(0)
        finally:
            os._exit(FAILED)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("a grandchild did not end well")
    ask()


CHILDREN = [
    lambda dice: ask(),
    lambda dice: insert(),
    lambda dice: insert(rolled_back=True),
    lambda dice: connections.close_all(),
    in_threads,
    fork_again,
]


def refused():
    """See that the parent's block can't be used."""
    try:
        ask()
    except ProgrammingError as error:
        if "atomic block" in str(error):
            return
        raise
    raise WrongAnswer
