"""The command line: python3 evidence."""

import argparse
import contextlib
import os
import shlex
import sys
import time
from pathlib import Path

if not __package__:
    # Run by the directory's name.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from checks import requirements  # noqa: E402
from overlay import console, environment, files  # noqa: E402
from overlay.releases import usable  # noqa: E402

# In seconds, for all of it, and what is left for the set-ups at least where
# the environments had to be made first, and slowly.
LIMITS = {"quick": (180, 60), "servers": (900, 600)}
TABLES, UNSAFE = "tables", "unsafe"
# The options of what isn't one of these two.
REPORTS = {"django", "html", "json", "only"}
STARTED = "EVIDENCE_STARTED"


def main(arguments=None):
    """Run what `arguments` ask for, and return the exit status."""
    return console.run("evidence", _run, _options(arguments))


def _options(arguments):
    parser = _parser()
    options = parser.parse_args(arguments)
    taken = {TABLES: {"check"}, UNSAFE: {"django"}}.get(options.what, REPORTS)
    for name in sorted((REPORTS | {"check"}) - taken):
        if getattr(options, name):
            parser.error(f"--{name} is not for {options.what}.")
    return options


def _parser():
    parser = argparse.ArgumentParser(
        prog="evidence",
        description=(
            "Put the same load on stock Django, on stock Django with the usual "
            "workaround, and on the fork, and count what comes back. The status is 0 "
            "if stock gave requests the data of others and the fork did nothing wrong."
        ),
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=[*LIMITS, UNSAFE, TABLES],
        default="quick",
        help="gunicorn and multiprocessing with a pool (quick, the default), every "
        "server that forks, with a pool and with persistent connections (servers), "
        "what is still not safe (unsafe), or nothing but the tables in README.md and "
        "docs from the figures in docs/evidence.json (tables)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="with tables: don't write them, but see that they are what they should be",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="the servers that have NAME in theirs (may be repeated)",
    )
    parser.add_argument(
        "--django",
        metavar="VERSION",
        help="the release (default: the newest of those kept here that this Python "
        "runs)",
    )
    parser.add_argument("--html", metavar="FILE", help="write the report to FILE")
    parser.add_argument("--json", metavar="FILE", help="keep the figures in FILE")
    return parser


def _run(options):
    version = usable(options.django)
    # The time goes on where bootstrap() starts this program again.
    started = float(os.environ.setdefault(STARTED, str(time.monotonic())))
    environment.bootstrap("evidence", requirements.EVIDENCE)
    # Only now, since they need what is installed there.
    if options.what == TABLES:
        from evidence import tables

        return tables.update(check=options.check)
    if options.what == UNSAFE:
        return _unsafe(version)
    from rich.console import Console

    from evidence import facts, page, report, series
    from overlay.interrupts import unwinding

    quick = options.what == "quick"
    servers = series.chosen(options.only, quick)
    with contextlib.ExitStack() as stack:
        stack.enter_context(unwinding())
        json, html = (
            file and stack.enter_context(files.replacing(Path(file)))
            for file in (options.json, options.html)
        )
        total, left = LIMITS[options.what]
        setups, results, versions = series.measured(
            servers,
            version,
            quick,
            lambda: max(started + total, time.monotonic() + left),
        )
        document = report.document(
            servers, setups, results, versions, facts.machine(), _command(options)
        )
        if json:
            json.write_text(report.text(document))
        if html:
            html.write_text(page.page(document), encoding="utf-8")
    print(f"{report.title(versions, document['machine'])}\n")
    terminal = Console()
    # What has no width of its own takes all that the table needs.
    width = None if terminal.is_terminal else 200
    Console(width=width).print(report.table(document))
    print(f"\n{report.LEGEND}\n\n{document['sentence']}")
    return 0 if document["proven"] else 1


def _unsafe(version):
    from evidence import unsafe
    from overlay.interrupts import unwinding

    with unwinding():
        reasons = unsafe.differences(version)
    for reason in reasons:
        print(f"Not as docs/unsafe.md says: {reason}")
    return 1 if reasons else 0


def _command(options):
    """Return what repeats the run."""
    only = [argument for name in options.only for argument in ("--only", name)]
    django = ["--django", options.django] if options.django else []
    return shlex.join(["python3", "evidence", options.what, *only, *django])


if __name__ == "__main__":
    sys.exit(main())
