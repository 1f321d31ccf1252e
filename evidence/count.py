"""What became of the tokens that were asked for."""

from collections import Counter, defaultdict
from typing import NamedTuple

HUNG = "hung"


class Answer(NamedTuple):
    """
    What came back for a token: the token, and the ids of the process and of
    the server session that answered; or why nothing did, HUNG or an error.
    Nobody has `asked` for what is said of a session before the load, and the
    `parent` of the processes asks for itself once these have ended.
    """

    asked: str | None
    token: str | None = None
    process: int | None = None
    session: int | None = None
    error: str | None = None
    parent: bool = False


class Figures(NamedTuple):
    """
    The numbers of tokens by their outcome, and of the server sessions that
    more than one process had.
    """

    right: int = 0
    wrong: int = 0
    failed: int = 0
    hung: int = 0
    shared: int = 0


def outcome(answer):
    """Return the name of the field of Figures that `answer` belongs to."""
    if answer.error == HUNG:
        return "hung"
    if answer.error is not None:
        return "failed"
    return "right" if answer.token == answer.asked else "wrong"


def count(answers):
    """Return the Figures of `answers`."""
    outcomes = Counter(
        outcome(answer)
        for answer in answers
        if answer.asked is not None and not answer.parent
    )
    processes = defaultdict(set)
    for answer in answers:
        if answer.session is not None:
            processes[answer.session].add(answer.process)
    return Figures(
        **outcomes, shared=sum(len(users) > 1 for users in processes.values())
    )
