"""What projects do on official Django."""

import os


def in_child():
    """
    Rid a forked process of what it has from its parent, if that is wanted:
    of the pools as in ticket #36957, or of the connections.
    """
    if not os.environ.get("EVIDENCE_WORKAROUND"):
        return
    from django.db import connections

    if os.environ["EVIDENCE_CONNECTIONS"] == "pool":
        type(connections["default"])._connection_pools.clear()
    else:
        connections.close_all()
