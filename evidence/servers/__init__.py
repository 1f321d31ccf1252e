"""The servers, and what is expected of each."""

from typing import NamedTuple

# What official Django does on a server: it has the bug, or hasn't since the
# server forks before the application is loaded or closes all connections.
BUG, SAFE = "bug", "safe"


class Server(NamedTuple):
    """
    A server: its name, the packages that it needs, a function that yields the
    Answers of a Trial of it, what people do on official Django, if anything,
    and what is expected there.
    """

    name: str
    packages: tuple
    answers: object
    workaround: str | None = None
    expected: str = BUG
