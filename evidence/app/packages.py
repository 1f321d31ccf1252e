"""
What packages around the database make of a fork:

    python -m app.packages [CASE]
"""

from app import recipes
from app.child import (
    BOTH,
    OWN,
    PARENTS,
    asked,
    case,
    configured,
    in_child,
    main,
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


@case(
    "django-tenants",
    f"{PARENTS}, in the schema one",
    f"{OWN}, in the schema one",
    BOTH,
    packages=["django-tenants==4.0.1"],
)
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


@case(
    "django-pgschemas",
    f"{PARENTS}, in the schema one",
    f"{OWN}, in the schema one",
    BOTH,
    packages=["django-pgschemas==1.3.2"],
)
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


@case(
    "django-prometheus",
    f"{PARENTS}, connection number 1",
    f"{OWN}, connection number 2",
    BOTH,
    packages=["django-prometheus==2.5.0"],
)
def prometheus():
    """Ask where connections are counted."""
    configured("django_prometheus.db.backends.postgresql")
    from django_prometheus.db import connections_total

    def known():
        (metric,) = connections_total.collect()
        return f", connection number {metric.samples[0].value:.0f}"

    return asked(known=known)


@case(
    "django-db-geventpool, in use",
    PARENTS,
    OWN,
    packages=["django-db-geventpool==4.0.8", "gevent==26.9.0"],
)
def geventpool():
    """Ask where the parent's connection is checked out of gevent's pool."""
    _geventpool()
    return asked()


@case(
    "the same, idle",
    PARENTS,
    OWN,
    packages=["django-db-geventpool==4.0.8", "gevent==26.9.0"],
)
def geventpool_idle():
    """The same where it was returned."""
    _geventpool()
    return returned()


@case(
    "the same, forgotten by the child",
    OWN,
    OWN,
    packages=["django-db-geventpool==4.0.8", "gevent==26.9.0"],
)
def geventpool_forgotten():
    """The same where a child forgets the pool."""
    _geventpool()
    recipes.follow("django-db-geventpool")
    return returned()


def _geventpool():
    from gevent import monkey

    monkey.patch_all()
    configured("django_db_geventpool.backends.postgresql_psycopg3")


@case(
    "django-db-connection-pool, in use",
    PARENTS,
    OWN,
    packages=["django-db-connection-pool==1.2.6", "SQLAlchemy==2.1.9"],
)
def sqlalchemy():
    """Ask where the parent's connection is in use, of SQLAlchemy's pool."""
    configured("dj_db_conn_pool.backends.postgresql")
    return asked()


@case(
    "the same, idle",
    PARENTS,
    PARENTS,
    packages=["django-db-connection-pool==1.2.6", "SQLAlchemy==2.1.9"],
)
def sqlalchemy_idle():
    """The same where it was returned."""
    configured("dj_db_conn_pool.backends.postgresql")
    return returned()


@case(
    "the same, forgotten by the child",
    OWN,
    OWN,
    packages=["django-db-connection-pool==1.2.6", "SQLAlchemy==2.1.9"],
)
def sqlalchemy_forgotten():
    """The same where a child makes the pool anew."""
    configured("dj_db_conn_pool.backends.postgresql")
    recipes.follow("django-db-connection-pool")
    return returned()


@case(
    "OpenTelemetry's instrumentation of psycopg",
    f"{PARENTS}, 2 of 2 queries traced",
    f"{OWN}, 2 of 2 queries traced",
    BOTH,
    packages=[
        "opentelemetry-instrumentation-psycopg==0.66b1",
        "opentelemetry-sdk==1.45.1",
    ],
)
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


if __name__ == "__main__":
    main(globals())
