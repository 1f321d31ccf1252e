"""
Ask for tokens in this process and in others that it forks, all at once:

    python -m app.forking HOW CHILDREN TOKENS

HOW is the name of a function below, and TOKENS how many each process asks for.
"""

import concurrent.futures
import multiprocessing
import sys

from app import workaround
from app.telling import ask, ask_before_fork

import django

FORK = multiprocessing.get_context("fork")

# Of the workers of an executor, in tokens.
TASK = 5


def main(how, children, tokens):
    django.setup()
    ask_before_fork()
    {"process": process, "executor": executor}[how](children, tokens)
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


def executor(children, tokens):
    """Have a ProcessPoolExecutor."""
    with concurrent.futures.ProcessPoolExecutor(
        children, mp_context=FORK, initializer=workaround.in_child
    ) as workers:
        tasks = workers.map(ask, [TASK] * (children * tokens // TASK))
        ask(tokens)
        list(tasks)


def _child(tokens):
    workaround.in_child()
    ask(tokens)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
