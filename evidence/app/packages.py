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
from app.child import (
    asked,
    configured,
    in_child,
    run,
    session,
    values,
    whose,
    wrapper,
)

QUERY = "pg_backend_pid()"


def returned():
    """
    Return in words whose session a child has where its parent has returned the
    own one to a pool.
    """
    parent = session()
    wrapper().close()
    return in_child(lambda: whose(session(), parent))


def schema():
    """Return a new schema."""
    values("CREATE SCHEMA IF NOT EXISTS one")
    return "one"


def in_schema():
    """Return in words which schema the connection's session is in."""
    return f", in the schema {values('SELECT current_schema()')[0]}"


def traced(queries):
    """Return in words how many of two queries are among `queries`."""
    return f", {sum(QUERY in query for query in queries)} of 2 queries traced"


def tenants(**options):
    """Ask in the schema of a tenant."""
    configured(
        "django_tenants.postgresql_backend",
        INSTALLED_APPS=["django.contrib.contenttypes"],
        DATABASE_ROUTERS=["django_tenants.routers.TenantSyncRouter"],
        **options,
    )
    wrapper().set_schema(schema())
    return asked(known=in_schema)


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
    return asked(known=in_schema)


def prometheus():
    """Ask where connections are counted."""
    configured("django_prometheus.db.backends.postgresql")
    from django_prometheus.db import connections_total

    def known():
        (metric,) = connections_total.collect()
        return f", connection number {metric.samples[0].value:.0f}"

    return asked(known=known)


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
        known=lambda: traced(
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
    return asked(known=lambda: traced(queries))


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
            known=lambda: traced(
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
    return asked(known=lambda: traced(query["sql"] for query in panel._queries))


if __name__ == "__main__":
    run(globals(), sys.argv[1])
