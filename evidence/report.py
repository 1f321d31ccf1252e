"""What servers did under load, as Markdown."""

from evidence import markdown
from evidence.count import Figures
from evidence.trial import DJANGOS, WORKAROUND

OUTCOMES = Figures._fields[:4]

LEGEND = (
    "Of 200 requests for each kind of connections; a process that waits for ever asks "
    "no more. *wrong*: another request's data. *failed*: an error. *hung*: no answer "
    "in time. *shared*: sessions of the database server that several processes used. "
    "*parent*: the parent's own queries once its workers had ended."
)


def table(servers, results):
    """Return what came of `results` on each of `servers`, in words."""
    lines = []
    for server in servers:
        row = [server.name]
        for django in DJANGOS:
            those = of(results, server, django)
            row.append(cell(those) if those else "none")
        lines.append(row)
    return markdown.table(("server", *DJANGOS), lines)


def of(results, server, django):
    """Return those of `results` that are of `server` with `django`."""
    wanted = server.name, django
    return [
        each for each in results if (each.setup.server, each.setup.django) == wanted
    ]


def cell(results):
    """Return in words what came of `results`, of one server and Django."""
    run = [result for result in results if not result.reason]
    parts = [_outcome(run)] if run else []
    parts += [
        f"{result.setup.connections} not run: {result.reason}"
        for result in results
        if result.reason
    ]
    return "; ".join(parts)


def total(figures, name):
    """Return the sum of what all `figures` have of that `name`."""
    return sum(getattr(each, name) for each in figures)


def asked(figures):
    """Return how many requests all `figures` are of."""
    return sum(total(figures, name) for name in OUTCOMES)


def _outcome(results):
    figures = [result.figures for result in results]
    if not asked(figures):
        return "no answers"
    bad = [
        f"{total(figures, name)} {name}"
        for name in OUTCOMES[1:]
        if total(figures, name)
    ]
    right = f"{asked(figures)} right"
    parts = [f"{', '.join(bad) or right} of {asked(figures)}"]
    if shared := total(figures, "shared"):
        parts.append(f"{shared} shared")
    parents = [result.parent for result in results]
    if (answered := total(parents, "right")) < asked(parents):
        parts.append(f"parent {answered} of {asked(parents)}")
    return "; ".join(parts)


def sentence(servers, results):
    """Return in plain words what came of all `results`."""

    def said(django):
        those = [each.figures for each in results if each.setup.django == django]
        lost = total(those, "failed") + total(those, "hung")
        return f"{total(those, 'wrong')} of {asked(those)} requests", lost

    official, patched = DJANGOS[0], DJANGOS[-1]
    text = "{}, {} got another request's data, and {} no answer.".format
    words = text(f"On {official}", *said(official))
    if any(server.workaround for server in servers):
        words += f" {text(WORKAROUND.capitalize(), *said(WORKAROUND))}"
    figures = [each.figures for each in results if each.setup.django == patched]
    return (
        f"{words} On {patched}, {total(figures, 'right')} of {asked(figures)} were "
        "answered rightly, and no process used a session of another one."
    )
