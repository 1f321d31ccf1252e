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


@case(
    "django-tenants",
    f"{PARENTS}, in the schema one",
    f"{OWN}, in the schema one",
    BOTH,
    packages=["django-tenants==4.0.1"],
)
def tenants():
    """Ask in the schema of a tenant."""
    configured(
        "django_tenants.postgresql_backend",
        INSTALLED_APPS=["django.contrib.contenttypes"],
        DATABASE_ROUTERS=["django_tenants.routers.TenantSyncRouter"],
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
    "django-db-geventpool, forgotten by the child",
    OWN,
    OWN,
    packages=["django-db-geventpool==4.0.8", "gevent==26.9.0"],
)
def geventpool_forgotten():
    """Ask where a child forgets gevent's pool, which has its connection."""
    from gevent import monkey

    monkey.patch_all()
    configured("django_db_geventpool.backends.postgresql_psycopg3")
    recipes.follow("django-db-geventpool")
    return returned()


@case(
    "django-db-connection-pool, forgotten by the child",
    OWN,
    OWN,
    packages=["django-db-connection-pool==1.2.6", "SQLAlchemy==2.1.9"],
)
def sqlalchemy_forgotten():
    """Ask where a child makes SQLAlchemy's pool anew."""
    configured("dj_db_conn_pool.backends.postgresql")
    recipes.follow("django-db-connection-pool")
    return returned()


if __name__ == "__main__":
    main(globals())
