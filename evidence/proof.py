"""What Results prove."""

import os

from evidence.count import Figures
from evidence.servers import BUG
from evidence.trial import FORK, TOKENS, WORKAROUND


def intact(result):
    """Return whether nothing went wrong in a set-up."""
    figures, parent = result.figures, result.parent
    return (
        not result.reason
        and figures == Figures(right=figures.right)
        and figures.right > 0
        and parent == Figures(right=parent.right)
    )


def doubts(servers, setups, results):
    """
    Return why `results` don't show, for the `setups` of `servers`, that
    official Django has the bug and patched Django hasn't: a list of sentences,
    empty if they do. A server that can't be run here is a reason only where no
    other one can either, and in CI, where nothing may be missing.
    """
    by_setup = {result.setup: result for result in results}
    wanted = {server.name for server in servers}
    missing = _not_run(results)
    if not os.environ.get("CI") and missing != wanted:
        wanted -= missing
    reasons = []
    for server in servers:
        if server.name in wanted:
            mine = [setup for setup in setups if setup.server == server.name]
            reasons += _doubts_of_server(server, mine, by_setup)
    return reasons


def _not_run(results):
    """Return the names of the servers that could be run with no Django."""
    names = {result.setup.server for result in results}
    return names - {result.setup.server for result in results if not result.reason}


def _doubts_of_server(server, setups, by_setup):
    broken = False
    for setup in setups:
        if setup.django == WORKAROUND:
            continue
        where = f"{setup.server} ({setup.connections}) on {setup.django}"
        result = by_setup.get(setup)
        if result is None:
            yield f"There was no time for {where}."
        elif result.reason:
            yield f"{where} was not run: {result.reason}."
        elif setup.django != FORK:
            broken = broken or not intact(result)
        elif not intact(result) or result.figures.right < TOKENS:
            yield (
                f"{where} has not answered {TOKENS} of {TOKENS} requests rightly and "
                "on sessions of each process's own."
            )
        elif result.processes < 2:
            yield f"{where} answered everything in one process."
    # A thread doesn't see the persistent connection of the one that forked, so
    # that not every kind of connections has the bug on every server.
    if server.expected == BUG and not broken:
        yield (
            f"{server.name} did nothing wrong on official Django, so that it shows "
            "nothing if patched Django doesn't."
        )
