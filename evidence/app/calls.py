"""
Call what queries and requests call, as often as TIMES says:

    python -m app.calls CALL TIMES

CALL is the name of a function below, as evidence/bench.py lists them.
"""

import gc
import sys
import tempfile

from app.child import configured, wrapper

from django.dispatch import Signal
from django.http import HttpResponse
from django.urls import path


def view(request):
    with wrapper().cursor() as cursor:
        cursor.execute("SELECT 1")
        return HttpResponse(str(cursor.fetchone()[0]))


urlpatterns = [path("", view)]


def pool(times):
    connection = wrapper()
    for _ in range(times):
        connection.pool


def cursor(times):
    connection = wrapper()
    for _ in range(times):
        connection.cursor().close()


def connect(times):
    connection = wrapper()
    for _ in range(times):
        connection.connect()
        connection.close()


def sqlite(times):
    from django.db.backends.sqlite3.base import DatabaseWrapper

    with tempfile.NamedTemporaryFile() as file:
        settings = {**wrapper().settings_dict, "NAME": file.name, "OPTIONS": {}}
        connection = DatabaseWrapper(settings)
        for _ in range(times):
            connection.cursor().execute("SELECT 1")
            connection.close()


def send(times):
    signal = Signal()
    signal.connect(_receive)
    for _ in range(times):
        signal.send(sender=None)


def request(times):
    from django.test import Client

    client = Client()
    for _ in range(times):
        response = client.get("/")
    assert response.content == b"1"


def _receive(**kwargs):
    pass


if __name__ == "__main__":
    configured(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
    # When the garbage collector runs depends on what was imported.
    gc.disable()
    globals()[sys.argv[1]](int(sys.argv[2]))
    wrapper().close()
    wrapper().close_pool()
