"""The servers, and what is expected of each."""

from typing import NamedTuple

# What stock Django does on a server: it has the bug, or hasn't since the
# server forks before the application is loaded or closes all connections. The
# last is what isn't safe on the fork either, and is shown as what it is.
BUG, SAFE, SHOWN = "bug", "safe", "shown"


class Server(NamedTuple):
    """
    A server: its name, the packages that it needs, a function that yields the
    Answers of a Trial of it, what people do on stock Django, if anything, what
    is expected there, and a note for the reader of the figures.
    """

    name: str
    packages: tuple
    answers: object
    workaround: str | None = None
    expected: str = BUG
    note: str = ""
