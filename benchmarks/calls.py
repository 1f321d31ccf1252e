"""
Call, with the Django that PYTHONPATH names, what queries and requests call, as
often as the JSON in the only argument says.
"""

import json
import os
import sys

import django
from django.conf import settings
from django.dispatch import Signal
from django.http import HttpResponse
from django.urls import path


def view(request):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return HttpResponse(str(cursor.fetchone()[0]))


urlpatterns = [path("", view)]


def main(database, name, times):
    database["OPTIONS"] = {
        **database.get("OPTIONS", {}),
        "pool": {"min_size": 1, "max_size": 1},
    }
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": database},
        ROOT_URLCONF=__name__,
        SECRET_KEY="benchmark",
    )
    django.setup()
    call = {
        "connection.pool": use_pool,
        "Signal.send()": send_signal,
        "Signal.send() in a forked process": send_signal_in_child,
        "a request with one query, pooled": request_page,
    }
    call[name](times)


def use_pool(times):
    from django.db import connection

    for _ in range(times):
        connection.pool


def send_signal(times):
    signal = Signal()
    signal.connect(receive)
    for _ in range(times):
        signal.send(sender=None)


def send_signal_in_child(times):
    if (pid := os.fork()) == 0:
        send_signal(times)
        sys.exit()
    assert os.waitpid(pid, 0)[1] == 0


def request_page(times):
    from django.db import connection
    from django.test import Client

    client = Client()
    for _ in range(times):
        response = client.get("/")
    assert response.content == b"1"
    connection.close()
    connection.close_pool()


def receive(**kwargs):
    pass


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
