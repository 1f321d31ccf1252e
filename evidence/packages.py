"""What packages around the database make of a fork."""

from evidence import trial
from evidence.cases import OWN, PARENTS, Case

BOTH = (trial.POOL, trial.PERSISTENT)
TENANTS = ("django-tenants==4.0.1",)
GEVENT = ("django-db-geventpool==4.0.8", "gevent==26.9.0")
SQLALCHEMY = ("django-db-connection-pool==1.2.6", "SQLAlchemy==2.1.9")


def _right(function, name, package, *packages, known=""):
    """
    Return a Case in which the fork's child has a session of its own, and what
    is `known` of that is right.
    """
    return Case(
        function, name, PARENTS + known, OWN + known, BOTH, (package, *packages)
    )


CASES = [
    _right("tenants", "django-tenants", *TENANTS, known=", in the schema one"),
    _right(
        "tenants_limited",
        "django-tenants with `TENANT_LIMIT_SET_CALLS`",
        *TENANTS,
        known=", in the schema one",
    ),
    _right(
        "pgschemas",
        "django-pgschemas",
        "django-pgschemas==1.3.2",
        known=", in the schema one",
    ),
    Case(
        "prometheus",
        "django-prometheus",
        f"{PARENTS}, connection number 1",
        f"{OWN}, connection number 2",
        BOTH,
        ("django-prometheus==2.5.0",),
    ),
    _right(
        "postgis",
        "Django's backend for PostGIS",
        "pyogrio==0.13.0",
        "shapely==2.2.0",
    ),
    _right("cockroachdb", "django-cockroachdb", "django-cockroachdb==6.1.1"),
    *(
        _right(function, name, *packages, known=", 2 of 2 queries traced")
        for function, name, *packages in (
            (
                "opentelemetry",
                "OpenTelemetry's instrumentation of psycopg",
                "opentelemetry-instrumentation-psycopg==0.66b1",
                "opentelemetry-sdk==1.45.1",
            ),
            ("ddtrace", "ddtrace", "ddtrace==4.16.0"),
            ("sentry", "sentry-sdk", "sentry-sdk==2.75.0"),
            ("debug_toolbar", "django-debug-toolbar", "django-debug-toolbar==8.0.0"),
        )
    ),
    *(
        Case(function, name, stock, fork, packages=packages)
        for packages, *those in (
            (
                GEVENT,
                ("geventpool", "django-db-geventpool, in use", PARENTS, OWN),
                ("geventpool_idle", "the same, idle", PARENTS, OWN),
                ("geventpool_forgotten", "the same, forgotten by the child", OWN, OWN),
            ),
            (
                SQLALCHEMY,
                ("sqlalchemy", "django-db-connection-pool, in use", PARENTS, OWN),
                ("sqlalchemy_idle", "the same, idle", PARENTS, PARENTS),
                ("sqlalchemy_forgotten", "the same, forgotten by the child", OWN, OWN),
            ),
        )
        for function, name, stock, fork in those
    ),
]
