"""What was called in forked processes on stock Django, as cases."""

from evidence import trial
from evidence.cases import OWN, PARENTS, Case

SESSION_LOST = f"{OWN}; {PARENTS} is lost"
CLOSED = f"OperationalError: the connection is closed; {PARENTS} is lost"
TRANSACTION_LOST = f"{PARENTS}; its parent's transaction is lost"

# The function of app.hooks, its code, and what it comes to on stock Django
# with persistent connections and with a pool.
HOOKS = [
    ("close_all", "connections.close_all()", SESSION_LOST, TRANSACTION_LOST),
    ("close", "connection.close()", SESSION_LOST, TRANSACTION_LOST),
    (
        "close_each",
        "for each in connections.all(): each.close()",
        SESSION_LOST,
        TRANSACTION_LOST,
    ),
    ("close_old", "close_old_connections()", PARENTS, TRANSACTION_LOST),
    (
        "close_old_of_wrapper",
        "connection.close_if_unusable_or_obsolete()",
        PARENTS,
        TRANSACTION_LOST,
    ),
    ("close_drivers", "connection.connection.close()", CLOSED, CLOSED),
    ("close_pool", "connection.close_pool()", PARENTS, PARENTS),
    (
        "close_pools",
        "for each in connections.all(): each.close_pool()",
        PARENTS,
        PARENTS,
    ),
    ("close_pool_itself", "connection.pool.close()", None, PARENTS),
    (
        "close_all_pools",
        "for pool in DatabaseWrapper._connection_pools.values(): pool.close()",
        PARENTS,
        PARENTS,
    ),
    ("clear_pools", "DatabaseWrapper._connection_pools.clear()", PARENTS, PARENTS),
    (
        "clear_pools_and_close",
        "DatabaseWrapper._connection_pools.clear(); connections.close_all()",
        SESSION_LOST,
        f"{OWN}; its parent's transaction is lost",
    ),
    ("pop_pool", 'DatabaseWrapper._connection_pools.pop("default")', PARENTS, PARENTS),
    ("replace_pools", "DatabaseWrapper._connection_pools = {}", PARENTS, PARENTS),
    ("forget_connection", "connection.connection = None", OWN, PARENTS),
    (
        "forget_connections",
        "for each in connections.all(): each.connection = None",
        OWN,
        PARENTS,
    ),
    ("forget_wrapper", 'del connections["default"]', OWN, PARENTS),
    ("connect", "connection.connect()", OWN, PARENTS),
    ("ensure_connection", "connection.ensure_connection()", PARENTS, PARENTS),
]

CASES = [
    Case(function, code, stock, OWN, (connections,))
    for function, code, *stocks in HOOKS
    for connections, stock in zip((trial.PERSISTENT, trial.POOL), stocks)
    if stock
]
