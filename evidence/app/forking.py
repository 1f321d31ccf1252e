"""
Ask for tokens in this process and in others that it forks, all at once:

    python -m app.forking HOW CHILDREN TOKENS

HOW is the name of a function below, and TOKENS how many each process asks for.
"""

import concurrent.futures
import multiprocessing
import os
import sys

from app import workaround
from app.telling import ask, ask_before_fork

import django

FORK = multiprocessing.get_context("fork")

# Of the workers of a pool, in tokens.
TASK = 5


def main(how, children, tokens):
    django.setup()
    ask_before_fork()
    {"process": process, "pool": pool, "executor": executor, "fork": fork}[how](
        children, tokens
    )
    # The others have ended.
    ask(3, parent=True)


def process(children, tokens):
    """Start a Process of multiprocessing for each child."""
    processes = [FORK.Process(target=_child, args=(tokens,)) for _ in range(children)]
    for child in processes:
        child.start()
    ask(tokens)
    for child in processes:
        child.join()


def pool(children, tokens):
    """Have a Pool of multiprocessing, which replaces its workers."""
    with FORK.Pool(children, workaround.in_child, maxtasksperchild=2) as workers:
        tasks = workers.map_async(ask, _tasks(children, tokens), chunksize=1)
        ask(tokens)
        tasks.get()
        workers.close()
        workers.join()


def executor(children, tokens):
    """Have a ProcessPoolExecutor."""
    with concurrent.futures.ProcessPoolExecutor(
        children, mp_context=FORK, initializer=workaround.in_child
    ) as workers:
        tasks = workers.map(ask, _tasks(children, tokens))
        ask(tokens)
        list(tasks)


def fork(children, tokens):
    """Fork, and have each child come to its end as Python's processes do."""
    processes = []
    for _ in range(children):
        processes.append(os.fork())
        if not processes[-1]:
            _child(tokens)
            sys.exit()
    ask(tokens)
    for child in processes:
        os.waitpid(child, 0)


def _tasks(children, tokens):
    return [TASK] * (children * tokens // TASK)


def _child(tokens):
    workaround.in_child()
    ask(tokens)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
