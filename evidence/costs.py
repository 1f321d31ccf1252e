"""What the fork costs, as the tables of the figures of evidence.bench."""

from evidence import bench, markdown, report
from evidence.trial import FORK, STOCK

SHORT_CALLS = ("connection.pool", "a request with one query, pooled")
SHORT_KIND = "checked out"

MORE, OF = "page faults more", "of stock's"


def whole(document):
    """
    Return all tables as Markdown. `document` is as bench.document() makes it.
    """
    parts = [_calls(document), _forks(document), _times(document)]
    return "\n\n".join([*parts, report.printed(document)])


def short(document):
    """Like whole(), but return what one has to know."""
    first = bench.more_faults(document, SHORT_KIND, 1)
    each = bench.faults_of_each(document, SHORT_KIND)
    lines = [
        *(
            (f"instructions of {name}", f"{_ratio(document['calls'][name], FORK)} {OF}")
            for name in SHORT_CALLS
        ),
        (bench.FORK, f"{bench.more_faults(document, bench.NONE, 0):.0f} {MORE}"),
        (
            f"a fork with connections, {SHORT_KIND}",
            f"{first:.0f} {MORE}, and {each:.1f} with each after the first",
        ),
        *(
            (f"the time of {name}", _compared(document, name, FORK))
            for name in (bench.FORK, bench.CHILD)
        ),
    ]
    return f"{markdown.table(('', 'the fork'), lines)}\n\n{report.printed(document)}"


def measures(document):
    """Return what a call and a fork cost as charts: numbers, by title."""
    calls = {f"Instructions of {name}": document["calls"][name] for name in SHORT_CALLS}
    faults = {
        row["variant"]: row["faults"]
        for row in document["forks"]
        if row["inherited"] == bench.NONE
    }
    return {**calls, f"Page faults of {bench.FORK}": faults}


def _calls(document):
    variants = [FORK, bench.GETPID]
    lines = [
        (
            name,
            f"{by_variant[STOCK]:,.0f}",
            *(_ratio(by_variant, variant) for variant in variants),
        )
        for name, by_variant in document["calls"].items()
    ]
    header = ("instructions, as a ratio to stock's", STOCK, *variants)
    return markdown.table(header, lines, right=3)


def _ratio(by_variant, variant):
    if variant not in by_variant:
        return ""
    return f"{by_variant[variant] / by_variant[STOCK]:.3f}"


def _forks(document):
    rows = {
        (row["inherited"], row["number"], row["variant"]): row
        for row in document["forks"]
    }
    variants = [each for each in bench.VARIANTS if (bench.NONE, 0, each) in rows]
    lines = [
        (
            f"{number or 'no'} connections{f', {kind}' if number else ''}",
            *(
                str(round(rows[kind, number, variant][column]))
                for column in ("faults", "microseconds")
                for variant in variants
            ),
        )
        for kind, number in dict.fromkeys(key[:2] for key in rows)
    ]
    header = ("a fork with", *(f"faults, {variant}" for variant in variants))
    header += tuple(f"µs, {variant}" for variant in variants)
    return markdown.table(header, lines, right=len(header) - 1)


def _times(document):
    lines = [
        (
            name,
            *(
                f"{by_variant[variant]:,}" if variant in by_variant else ""
                for variant in (STOCK, FORK)
            ),
            _compared(document, name, FORK),
        )
        for name, by_variant in document["times"].items()
    ]
    header = ("microseconds of", STOCK, FORK, "that is")
    return markdown.table(header, lines, right=3)


def _compared(document, name, variant):
    """Return in words what the time of `name` is in that of its measure."""
    if not bench.TIMES[name].measure:
        return ""
    other, measured = bench.TIMES[name].measure
    times = document["times"]
    ratio = times[name][variant] / times[other][measured]
    whose = f"{measured}'s" if other == name else "that of one whose parent had none"
    return f"{ratio:.2f} of {whose}"
