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

from overlay import console, environment, requirements  # noqa: E402
from overlay.options import release  # noqa: E402

# In seconds, for all of it, and what is left for the set-ups at least where
# the environments had to be made first, and slowly.
LIMITS = {"quick": (180, 60), "servers": (900, 600)}
README = "readme"
STARTED = "EVIDENCE_STARTED"


def main(arguments=None):
    """Run what `arguments` ask for, and return the exit status."""
    return console.run("evidence", _run, _parser().parse_args(arguments))


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
        choices=[*LIMITS, README],
        default="quick",
        help="gunicorn and multiprocessing with a pool (quick, the default), every "
        "server that forks, with a pool and with persistent connections (servers), or "
        "nothing but README.md's table from the figures in docs/evidence.json (readme)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="with readme: don't write the table, but see that it is what it should be",
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
    parser.add_argument(
        "--markdown", action="store_true", help="print the table as Markdown"
    )
    return parser


def _run(options):
    version = release(options.django)
    # The time goes on where bootstrap() starts this program again.
    started = float(os.environ.setdefault(STARTED, str(time.monotonic())))
    environment.bootstrap("evidence", requirements.EVIDENCE)
    # Only now, since they need what is installed there.
    if options.what == README:
        from evidence import readme

        return readme.update(check=options.check)
    from rich.console import Console

    from evidence import facts, page, report, runs
    from overlay.processes import unwinding

    quick = options.what == "quick"
    servers = runs.chosen(options.only, quick)
    with contextlib.ExitStack() as stack:
        stack.enter_context(unwinding())
        json, html = (
            file and stack.enter_context(report.replacing(file))
            for file in (options.json, options.html)
        )
        total, left = LIMITS[options.what]
        setups, results, versions = runs.run(
            servers,
            version,
            quick,
            lambda: max(started + total, time.monotonic() + left),
        )
        document = report.document(
            servers, setups, results, versions, facts.machine(), _command(options)
        )
        if json:
            report.write(json, document)
        if html:
            html.write(page.page(document))
    print(f"{report.title(versions, document['machine'])}\n")
    if options.markdown:
        print(report.markdown(document))
    else:
        Console().print(report.table(document))
    print(f"\n{report.LEGEND}\n\n{document['sentence']}")
    return 0 if document["proven"] else 1


def _command(options):
    """Return what repeats the run."""
    only = [argument for name in options.only for argument in ("--only", name)]
    django = ["--django", options.django] if options.django else []
    return shlex.join(["python3", "evidence", options.what, *only, *django])


if __name__ == "__main__":
    sys.exit(main())
