"""What a run may have given, for the tests of what is made of it."""

from evidence.trial import FORK, STOCK, WORKAROUND

PARENT = {"right": 6, "wrong": 1, "failed": 0, "hung": 0, "shared": 0}
HELD = [{"100": [7, 8]}, {"100": [7, 8], "101": [7, 8], "102": []}]


def setup(server="gunicorn sync", connections="pool", django=STOCK, **changes):
    """Return a set-up as documents have it, with `changes`."""
    return {
        "server": server,
        "connections": connections,
        "django": django,
        "workaround": "post_fork",
        "expected": "bug",
        "note": "",
        **{"right": 122, "wrong": 71, "failed": 4, "hung": 3, "shared": 2},
        "sessions": 4,
        "ms": 1.26,
        "processes": 8,
        "parent": PARENT,
        "held": HELD,
        "errors": [],
        "seconds": 1.5,
        "not_run": None,
        **changes,
    }


def healthy(**changes):
    """Return a set-up of the fork in which nothing went wrong."""
    figures = {"right": 200, "wrong": 0, "failed": 0, "hung": 0, "shared": 0}
    parent = {**figures, "right": 8}
    held = [{"100": [7, 8]}, {"100": [7, 8], "101": [9, 10], "102": [11, 12]}]
    return setup(
        **{"django": FORK, **figures, "parent": parent, "held": held} | changes
    )


def not_run(**changes):
    figures = dict.fromkeys(["right", "wrong", "failed", "hung", "shared"], 0)
    nothing = {**figures, "sessions": 0, "ms": None, "processes": 0}
    reason = "pip can't install it"
    nothing |= {"parent": None, "held": [], "not_run": reason}
    return setup(**{"django": FORK, **nothing} | changes)


def document(*setups, **changes):
    return {
        "sentence": "After a fork, stock Django gave others' data.",
        "proven": True,
        "command": "python3 evidence servers --only 'a b'",
        "legend": "Of 200 requests, wrong: another request's data.",
        "versions": {"Django": "6.1.3", "fork": "6.1.3+fork.2"},
        "machine": {"CPU": "small", "cores": 2, "system": "Linux"},
        "setups": list(setups),
        **changes,
    }


EXAMPLE = document(
    setup(note="A note."),
    setup(django=WORKAROUND, errors=["OperationalError: " + "unbroken" * 20]),
    healthy(),
    setup(connections="persistent", held=HELD[:1], parent=None),
    not_run(connections="persistent", django=FORK),
)


MANY = document(
    *(
        made(server=f"a server of a long name, number {number}", connections=kind)
        for number in range(25)
        for kind in ("pool", "persistent")
        for made in (setup, healthy if number < 2 else not_run)
    )
)
