"""
What a process that was forked can do with what its parent had:

    python -m app.limits [CASE]
"""

import os
import socketserver
import threading

from app import recipes
from app.child import OWN, PARENTS, case, in_child, main, session, whose

import django
from django.conf import settings
from django.core.cache import caches
from django.db import connection, connections, transaction

PYMEMCACHE = ["pymemcache==4.0.0"]


@case(
    "ask the database inside the parent's `atomic()` block",
    PARENTS,
    "ProgrammingError: Cannot open a new connection in an atomic block.",
)
def atomic_block():
    """Ask in a transaction of the parent's."""
    with transaction.atomic():
        parent = session()
        return in_child(lambda: whose(session(), parent))


@case(
    "use a temporary table of the parent's",
    "the table",
    'ProgrammingError: relation "of_the_parent" does not exist',
)
def session_state():
    """Ask for what is the parent's session's own."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE of_the_parent ()")

        def child():
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM of_the_parent")
                return "the table"

        return in_child(child)


@case(
    "use a driver's connection that was kept",
    PARENTS,
    "OperationalError: ...: server closed the connection unexpectedly",
)
def driver_connection():
    """Ask through the driver's connection."""
    parent, raw = session(), connection.connection

    def child():
        try:
            (child,) = raw.execute("SELECT pg_backend_pid()").fetchone()
        except raw.OperationalError as error:
            # Whether it's in sending or in receiving depends on libpq.
            reason = str(error).splitlines()[0].rpartition(": ")[2]
            return f"OperationalError: ...: {reason}"
        return whose(child, parent)

    return in_child(child)


@case(
    "have a child of its own that uses the pool, with 4 connections, as both do",
    "hangs",
    "4 more descriptors",
)
def descriptors():
    """Have a child and a grandchild that use a pool, and count descriptors."""
    pooled = connection.copy("pooled")
    pooled.settings_dict["OPTIONS"]["pool"] = {"min_size": 4, "max_size": 4}
    pooled.settings_dict["CONN_MAX_AGE"] = 0

    def count(generations):
        pooled.pool.open(wait=True)
        session(pooled)
        if generations > 1:
            return in_child(lambda: count(generations - 1))
        return str(len(os.listdir("/dev/fd")))

    if (later := count(3)) == "hangs":
        return later
    # The same, but for its parent, which uses none.
    sooner = in_child(lambda: in_child(lambda: count(1)))
    return f"{int(later) - int(sooner)} more descriptors"


@case(
    "go on with an `iterator()` that the parent has begun",
    "row 2",
    "OperationalError: the connection is closed",
)
def half_read_cursor():
    """Go on reading from a cursor on the server, as of QuerySet.iterator()."""
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute("SELECT generate_series(1, 20)")
        cursor.fetchone()
        return in_child(lambda: f"row {cursor.fetchone()[0]}")


@case(
    "write to a file of SQLite to which the parent is writing",
    "a row in its parent's transaction",
    "OperationalError: database is locked",
)
def sqlite_file():
    """Write to a file of SQLite to which the parent writes."""
    file = connections["file"]

    def child():
        with file.cursor() as cursor:
            cursor.execute("INSERT INTO written VALUES (1)")
            return "a row in its parent's transaction"

    with file.cursor() as cursor:
        cursor.execute("CREATE TABLE written (number)")
        cursor.execute("BEGIN IMMEDIATE")
        return in_child(child)


class _Memcached(socketserver.StreamRequestHandler):
    """Answer with the port of the one who asks, as its own is the session."""

    def handle(self):
        port = str(self.client_address[1]).encode()
        for line in self.rfile:
            _, key, *_ = line.split()
            answer = b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (key, len(port), port)
            self.wfile.write(answer)


@case("use Django's cache in Memcached", PARENTS, PARENTS, packages=PYMEMCACHE)
def memcached():
    """Use a client that doesn't compare the process's id."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Memcached) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever).start()
        settings.CACHES["memcached"] = {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": "127.0.0.1:%s" % server.server_address[1],
        }
        try:
            parent = caches["memcached"].get("port")
            return in_child(lambda: whose(caches["memcached"].get("port"), parent))
        finally:
            server.shutdown()


@case("the same as in the recipe", OWN, OWN, packages=PYMEMCACHE)
def memcached_forgotten():
    """Use it where each child forgets the client."""
    recipes.follow("Memcached")
    return memcached()


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "app.limits_settings"
    django.setup()
    main(globals())
