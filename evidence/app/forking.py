"""
Ask for tokens in this process and in others that it forks, all at once:

    python -m app.forking HOW CHILDREN TOKENS

HOW is the name of a function below.
"""

import concurrent.futures
import multiprocessing
import os
import sys

from app import workaround
from app.telling import ask, ask_before_fork

import django

FORK = multiprocessing.get_context("fork")


def main(how, children, tokens):
    django.setup()
    ask_before_fork()
    globals()[how](children, tokens)
    ask(3, parent=True)


def process(children, tokens):
    """Start multiprocessing's Process."""
    processes = [FORK.Process(target=_child, args=(tokens,)) for _ in range(children)]
    for child in processes:
        child.start()
    ask(tokens)
    for child in processes:
        child.join()


def pool(children, tokens):
    """Have multiprocessing's Pool replace its workers now and then."""
    # TODO: helper


def _child(tokens):
    workaround.in_child()
    ask(tokens)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
