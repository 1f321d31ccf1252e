"""
Query and fork as asked for:

    python -W ignore faults.py DATABASE

DATABASE is JSON, as in Django's DATABASES. Each line of standard input is one
of `parent`, `fork`, `child`, and `threadless`, to query in this process, to
fork, to query in the child, and to let the child start no thread. Each prints
a line: who it was, and the server's session and the socket on which it was
answered, or the error.
"""

import json
import os
import resource
import signal
import sys

import django
from django.conf import settings

# In seconds.
DEADLINE = 60

NOBODY = 65534

settings.configure(DATABASES={"default": json.loads(sys.argv[1])})
django.setup()

from django.db import Error, close_old_connections, connection  # noqa: E402

SESSION = {"mysql": "connection_id()", "postgresql": "pg_backend_pid()"}


def query(name, number):
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT %s, {SESSION[connection.vendor]}", [number])
            answer, session = cursor.fetchone()
        socket = os.fstat(connection.connection.fileno()).st_ino
        said = f"{session}/{socket}" if int(answer) == number else "wrong"
    except (Error, RuntimeError) as error:
        said = type(error).__name__
    # As at the end of a request.
    close_old_connections()
    print(name, said, flush=True)


def end_threads():
    """Let this process start no thread, which root always may."""
    if os.getuid() == 0:
        os.setuid(NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    print("child threadless", flush=True)


def main(name, lines):
    signal.alarm(DEADLINE)
    for number, command in enumerate(lines):
        if command.strip() == "fork":
            reader, writer = os.pipe()
            if (pid := os.fork()) == 0:
                os.close(writer)
                main("child", open(reader))
                os._exit(0)
            os.close(reader)
            child = open(writer, "w")
            print("forked", pid, flush=True)
        elif command.strip() in ("child", "threadless") and name == "parent":
            child.write(command)
            child.flush()
        elif command.strip() == "threadless":
            end_threads()
        else:
            query(name, number)


if __name__ == "__main__":
    main("parent", sys.stdin)
