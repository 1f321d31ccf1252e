"""
What packages around the database know of their session after a fork:

    python -m app.packages CASE

CASE is the name of a function below, as evidence/packages.py lists them. What
it returns is printed.
"""

import importlib.util
import sys
from pathlib import Path

from app import recipes
from app.child import in_child, outcome, run, session, whose
from app.settings import DATABASE, DATABASES

QUERY = "pg_backend_pid()"


def configured(engine="django.db.backends.postgresql", **options):
    """Use the database of app.settings through `engine`, and `options`."""
    # Only now, as gevent wants to be first.
    import django
    from django.conf import settings

    DATABASE["ENGINE"] = engine
    settings.configure(DATABASES=DATABASES, SECRET_KEY="evidence", **options)
    django.setup()


def asked(known=lambda: ""):
    """
    Return in words whose session a child has, what `known()` returns there,
    and whether its parent's is lost.
    """
    parent = session()
    found = in_child(lambda: f"{whose(session(), parent)}{known()}")
    after = outcome(lambda: session() == parent)
    return found if after is True else f"{found}; the parent's is lost"


def returned():
    """
    Return in words whose session a child has where its parent has returned the
    own one to a pool.
    """
    from django.db import connection

    parent = session()
    connection.close()
    return in_child(lambda: whose(session(), parent))


def in_schema():
    """Return in words in which schema the default connection is."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return f", in the schema {cursor.fetchone()[0]}"


def schema():
    """Return a new schema."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS one")
    return "one"


def traced(queries):
    """Return in words how many of two queries are among `queries`."""
    return f", {sum(QUERY in query for query in queries)} of 2 queries traced"


def plain():
    """Ask through Django's own backend."""
    configured()
    return asked()


def tenants(**options):
    """Ask in the schema of a tenant."""
    configured(
        "django_tenants.postgresql_backend",
        INSTALLED_APPS=["django.contrib.contenttypes"],
        DATABASE_ROUTERS=["django_tenants.routers.TenantSyncRouter"],
        **options,
    )
    from django.db import connection

    connection.set_schema(schema())
    return asked(in_schema)


def tenants_limited():
    """The same where the search path is set once for each session."""
    return tenants(TENANT_LIMIT_SET_CALLS=True)


def pgschemas():
    """Ask in the schema of another package's tenant."""
    configured(
        "django_pgschemas.postgresql",
        INSTALLED_APPS=["django_pgschemas"],
        DATABASE_ROUTERS=["django_pgschemas.routers.TenantAppsRouter"],
        TENANTS={
            "public": {"APPS": []},
            "one": {"APPS": [], "URLCONF": "app.urls", "DOMAINS": ["one.test"]},
        },
    )
    from django_pgschemas.schema import Schema, activate

    activate(Schema.create(schema()))
    return asked(in_schema)


def prometheus():
    """Ask where connections are counted."""
    configured("django_prometheus.db.backends.postgresql")
    from django_prometheus.db import connections_total

    def known():
        (metric,) = connections_total.collect()
        return f", connection number {metric.samples[0].value:.0f}"

    return asked(known)


def postgis():
    """Ask through PostGIS's backend, in a database without it."""
    (gdal,) = _libraries("pyogrio", "libgdal")
    (geos,) = _libraries("shapely", "libgeos_c")
    configured(
        "django.contrib.gis.db.backends.postgis",
        GDAL_LIBRARY_PATH=str(gdal),
        GEOS_LIBRARY_PATH=str(geos),
    )
    return asked()


def _libraries(package, name):
    """Return the paths of the library `name` that comes with `package`."""
    directory = Path(importlib.util.find_spec(package).origin).parent
    return directory.with_name(f"{package}.libs").glob(f"{name}*")


def cockroachdb():
    """Ask through CockroachDB's backend, here of PostgreSQL."""
    configured("django_cockroachdb", DISABLE_COCKROACHDB_TELEMETRY=True)
    from django_cockroachdb.base import DatabaseWrapper

    DatabaseWrapper.cockroachdb_version = 26, 1
    return asked()


def geventpool():
    """Ask where the parent's connection is checked out of gevent's pool."""
    _geventpool()
    return asked()


def geventpool_idle():
    """The same where it was returned."""
    _geventpool()
    return returned()


def geventpool_forgotten():
    """The same where a child forgets the pool."""
    _geventpool()
    recipes.follow("django-db-geventpool")
    return returned()


def _geventpool():
    from gevent import monkey

    monkey.patch_all()
    configured("django_db_geventpool.backends.postgresql_psycopg3")


def sqlalchemy():
    """Ask where the parent's connection is in use, of SQLAlchemy's pool."""
    configured("dj_db_conn_pool.backends.postgresql")
    return asked()


def sqlalchemy_idle():
    """The same where it was returned."""
    configured("dj_db_conn_pool.backends.postgresql")
    return returned()


def sqlalchemy_forgotten():
    """The same where a child makes the pool anew."""
    configured("dj_db_conn_pool.backends.postgresql")
    recipes.follow("django-db-connection-pool")
    return returned()


def opentelemetry():
    """Ask where psycopg is traced."""
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    exporter, provider = InMemorySpanExporter(), TracerProvider()

    provider.add_span_processor(SimpleSpanProcessor(exporter))
    PsycopgInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)
    configured()
    return asked(
        lambda: traced(
            span.attributes["db.statement"] for span in exporter.get_finished_spans()
        )
    )


def ddtrace():
    """The same with Datadog's tracer."""
    from ddtrace import patch
    from ddtrace.trace import TraceFilter, tracer

    queries = []

    class Kept(TraceFilter):
        def process_trace(self, trace):
            queries.extend(span.resource for span in trace)

    tracer.configure(trace_processors=[Kept()])
    patch(psycopg=True)
    configured()
    return asked(lambda: traced(queries))


def sentry():
    """The same with Sentry's."""
    import sentry_sdk

    configured()
    sentry_sdk.init(
        "http://key@127.0.0.1/1",
        traces_sample_rate=1,
        transport=lambda event: None,
    )
    with sentry_sdk.start_transaction(name="case") as transaction:
        return asked(
            lambda: traced(
                span.description or "" for span in transaction._span_recorder.spans
            )
        )


def debug_toolbar():
    """The same with the toolbar's panel."""
    configured(
        INSTALLED_APPS=["debug_toolbar", "django.contrib.staticfiles"],
        STATIC_URL="static/",
    )
    from debug_toolbar.panels.sql.panel import SQLPanel
    from debug_toolbar.toolbar import DebugToolbar

    from django.test import RequestFactory

    toolbar = DebugToolbar(RequestFactory().get("/"), lambda request: None)
    panel = toolbar.get_panel_by_id(SQLPanel.panel_id)
    panel.enable_instrumentation()
    return asked(lambda: traced(query["sql"] for query in panel._queries))


if __name__ == "__main__":
    run(globals(), sys.argv[1])
