"""What Results prove."""

import os

from evidence.count import Figures
from evidence.servers import BUG, SHOWN
from evidence.trial import FORK, STOCK, TOKENS, WORKAROUND


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
    Return why `results` don't show, for the `setups` of `servers`, that stock
    Django has the bug and the fork hasn't: a list of sentences, empty if they
    do. A server that can't be run here is a reason only where no other one can
    either, and in CI, where nothing may be missing.
    """
    by_setup = {result.setup: result for result in results}
    wanted = {server.name for server in servers if server.expected != SHOWN}
    missing = set(not_run(results)) & wanted
    if not os.environ.get("CI") and missing != wanted:
        wanted -= missing
    if not wanted:
        return ["Of what was run, nothing could."]
    reasons = []
    for server in servers:
        if server.name in wanted:
            mine = [setup for setup in setups if setup.server == server.name]
            reasons += _doubts_of_server(server, mine, by_setup)
    return reasons


def not_run(results):
    """Return the reasons why servers, by name, could be run with no Django."""
    reasons = {}
    for result in results:
        reasons.setdefault(result.setup.server, []).append(result.reason)
    return {server: those[0] for server, those in reasons.items() if all(those)}


def _doubts_of_server(server, setups, by_setup):
    broken = False
    for setup in setups:
        if setup.django == WORKAROUND:
            continue
        where = f"{setup.server} ({setup.connections})"
        result = by_setup.get(setup)
        if result is None:
            yield f"There was no time for {where} on {setup.django}."
        elif result.reason:
            yield f"{where} was not run on {setup.django}: {result.reason}."
        elif setup.django == FORK:
            yield from _doubts_of_fork(where, result)
        elif not intact(result):
            broken = True
    # A thread doesn't see the persistent connection of the one that forked, so
    # that not every kind of connections has the bug on every server.
    if server.expected == BUG and not broken:
        yield (
            f"With {server.name}, nothing went wrong on stock, so that it proves "
            "nothing if it doesn't on the fork."
        )


def _doubts_of_fork(where, result):
    if not intact(result) or result.figures.right < TOKENS:
        yield (
            f"With {where}, the fork has not answered {TOKENS} of {TOKENS} requests "
            "rightly and on sessions of each process's own."
        )
    elif result.processes < 2:
        yield f"With {where}, one process answered everything on the fork."


def sentence(servers, results, reasons, versions):
    """Return what `results` mean in plain words, with `reasons` for doubt."""
    if reasons:
        return " ".join(["This run does not show that the fork works.", *reasons])
    shown = [server.name for server in servers if server.expected == SHOWN]
    missing = not_run(results)
    left_out = {*shown, *missing}
    results = [result for result in results if result.setup.server not in left_out]

    def figure(django, field):
        return sum(
            getattr(result.figures, field)
            for result in results
            if result.setup.django == django
        )

    def asked(django):
        return sum(figure(django, field) for field in Figures._fields[:4])

    notes = "".join(
        [
            *(f" {server} is not counted, as it isn't safe there." for server in shown),
            *(
                f" {server} was not run: {reason}."
                for server, reason in missing.items()
                if server not in shown
            ),
        ]
    )

    def unanswered(django):
        return figure(django, "failed") + figure(django, "hung")

    worked_around = (
        f"; with the usual workarounds, {figure(WORKAROUND, 'wrong')} of "
        f"{asked(WORKAROUND)} and {unanswered(WORKAROUND)}"
    )
    return (
        f"After a fork, stock Django {versions['Django']} gave "
        f"{figure(STOCK, 'wrong')} of {asked(STOCK)} requests the data of another one "
        f"and {unanswered(STOCK)} no answer"
        f"{worked_around if asked(WORKAROUND) else ''}; the fork answered all "
        f"{figure(FORK, 'right')} rightly, and no process used a server session of "
        f"another one.{notes}"
    )
