"""What is still not safe after fork(), as cases of what a child does."""

from evidence.cases import OWN, PARENTS, Case

CLOSED = "OperationalError: the connection is closed"
PEER_CLOSED = "OperationalError: ...: server closed the connection unexpectedly"

CASES = [
    Case("query", "ask the database", PARENTS, OWN),
    Case(
        "atomic_block",
        "ask the database inside the parent's `atomic()` block",
        PARENTS,
        "ProgrammingError: Cannot open a new connection in an atomic block.",
    ),
    Case(
        "atomic_block_and_new_wrapper",
        "the same after `del connections[alias]`",
        OWN,
        OWN,
    ),
    Case(
        "session_state",
        "use a temporary table of the parent's",
        "the table",
        'ProgrammingError: relation "of_the_parent" does not exist',
    ),
    Case(
        "half_read_cursor",
        "go on with an `iterator()` that the parent has begun",
        "row 2",
        CLOSED,
    ),
    Case(
        "driver_connection",
        "use a driver's connection that was kept",
        PARENTS,
        PEER_CLOSED,
    ),
    Case(
        "wrappers_connection",
        "reach into `connection.connection` before the first query",
        PARENTS,
        "AttributeError: 'NoneType' object has no attribute 'info'",
    ),
    Case(
        "new_connection",
        "use a connection that `connection.get_new_connection()` returned",
        PARENTS,
        PARENTS,
    ),
    Case(
        "other_pool",
        "use a backend with a pool of its own that the parent returned a connection to",
        PARENTS,
        PEER_CLOSED,
    ),
    Case(
        "drop_database",
        "stay connected to a database that the parent drops (`test --parallel`, "
        "processes that tests started)",
        "it is dropped",
        'OperationalError: database "dropped" is being accessed by other users',
    ),
    Case(
        "descriptors",
        "have a child of its own that uses the pool, with 4 connections, as both do",
        "hangs",
        "4 more descriptors",
    ),
    Case(
        "sqlite_file",
        "write to a file of SQLite to which the parent is writing",
        "a row in its parent's transaction",
        "OperationalError: database is locked",
    ),
    Case(
        "sqlite_closed",
        "commit to a file of SQLite in WAL mode, once before and once after the parent "
        "closes it",
        "1 of 2 rows",
        "2 of 2 rows",
    ),
    Case("fork_in_c", "ask the database after a fork in C", PARENTS, OWN),
    Case(
        "redis_cache",
        "use Django's cache in Redis",
        OWN,
        OWN,
        packages=("packaging==26.3", "redis==8.1.0"),
        redis=True,
    ),
    *(
        Case(function, what, outcome, outcome)
        for function, what, outcome in (
            (
                "other_socket",
                "read from another library's socket, here of an HTTP client",
                "the answer to /asked-by-the-parent",
            ),
            ("executor", "submit to a `ThreadPoolExecutor` of the parent's", "hangs"),
            (
                "lock",
                "acquire a lock that another thread held during the fork",
                "hangs",
            ),
        )
    ),
]
