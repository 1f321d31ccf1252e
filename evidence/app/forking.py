"""
Ask for tokens in this process and in others that it forks, all at once:

    python -m app.forking CHILDREN TOKENS [workaround]

Each token of a process is a line of JSON on standard output when it is asked
for, and one more when it is answered or has failed.
"""

import json
import multiprocessing
import os
import sys
import uuid

from app.workaround import clear_pools

import django


def main(children, tokens, *workaround):
    django.setup()
    # Before the fork.
    ask(1)
    processes = [
        multiprocessing.get_context("fork").Process(
            target=child, args=(tokens, *workaround)
        )
        for _ in range(children)
    ]
    for process in processes:
        process.start()
    ask(tokens - 1)
    for process in processes:
        process.join()


def child(tokens, workaround=None):
    if workaround:
        clear_pools()
    ask(tokens)


def ask(tokens):
    from app.echo import echo

    for _ in range(tokens):
        token = uuid.uuid4().hex
        tell(asked=token)
        try:
            tell(asked=token, **echo(token))
        except Exception as error:
            tell(asked=token, error=f"{type(error).__name__}: {error}")


def tell(**fields):
    # One call, which doesn't mix with those of the other processes.
    os.write(1, json.dumps(fields).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
