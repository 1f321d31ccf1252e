"""What every process does."""

import os

from django.db import connection


def echo(token):
    """
    Return `token` as it comes back from the database, with the ids of this
    process and of the server session that answered it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text, pg_backend_pid()", [token])
        answer, session = cursor.fetchone()
    return {"token": answer, "process": os.getpid(), "session": session}
