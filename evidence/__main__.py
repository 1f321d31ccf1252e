"""The command line: python3 evidence."""

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

if not __package__:
    # Run by the directory's name.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from overlay import console, environment, requirements  # noqa: E402
from overlay.options import release  # noqa: E402

# In seconds, for all of it. Where the environments had to be made first, and
# slowly, what is left has to be enough for the set-ups.
TOTAL, LEFT = 180, 60
STARTED = "EVIDENCE_STARTED"


def main(arguments=None):
    """Run what `arguments` ask for, and return the exit status."""
    return console.run("evidence", _run, _parser().parse_args(arguments))


def _parser():
    parser = argparse.ArgumentParser(
        prog="evidence",
        description=(
            "Put the same load on stock Django, on stock Django with the workaround of "
            "ticket #36957, and on the fork, each with a connection pool, on gunicorn "
            "--preload and with multiprocessing, and count what comes back. The status "
            "is 0 if stock gave requests the data of others and the fork did nothing "
            "wrong."
        ),
    )
    parser.add_argument(
        "--django",
        metavar="VERSION",
        help="the release (default: the newest of those kept here that this Python "
        "runs)",
    )
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
    from rich.console import Console

    from evidence import facts, report
    from overlay.processes import unwinding
    from overlay.servers import postgresql

    with contextlib.ExitStack() as stack:
        stack.enter_context(unwinding())
        file = options.json and stack.enter_context(report.replacing(options.json))
        stock, fork = _pythons(version)
        deadline = max(started + TOTAL, time.monotonic() + LEFT)
        database = stack.enter_context(postgresql.embedded())
        versions = facts.versions(stock, fork, database)
        results = _results(stock, fork, database, deadline)
        machine = facts.machine()
        document = report.document(results, versions, machine)
        if file:
            report.write(file, document)
    print(f"{report.title(versions, machine)}\n")
    if options.markdown:
        print(report.markdown(results))
    else:
        Console().print(report.table(results))
    print(f"\n{report.LEGEND}\n\n{document['sentence']}")
    return 0 if document["proven"] else 1


def _pythons(version):
    """Return the interpreters of stock Django and of the fork."""
    from overlay import artifacts

    stock = environment.python(
        f"evidence-stock-{version}",
        [f"Django==={version}", *requirements.EVIDENCE_APP],
    )
    with artifacts.wheel(version) as wheel:
        fork = environment.python(
            f"evidence-fork-{version}", [str(wheel), *requirements.EVIDENCE_APP]
        )
    return stock, fork


def _results(stock, fork, database, deadline):
    """Return the Results of the set-ups that end before `deadline`."""
    from rich.console import Console
    from rich.progress import Progress

    from evidence import setups

    terminal, results = Console(stderr=True), []
    with Progress(console=terminal, disable=not terminal.is_terminal) as progress:
        task = progress.add_task("", total=len(setups.SETUPS) * setups.TOKENS)
        for number, setup in enumerate(setups.SETUPS, 1):
            if time.monotonic() > deadline:
                break
            name = f"{setup.server}, {setup.django}"
            progress.update(task, description=name)
            result = setups.run(
                setup,
                fork if setup.django == setups.FORK else stock,
                database,
                deadline,
                lambda: progress.advance(task),
            )
            results.append(result)
            # What hangs is cut short.
            progress.update(task, completed=number * setups.TOKENS)
            counted = ", ".join(
                f"{number} {field}"
                for field, number in result.figures._asdict().items()
            )
            terminal.print(f"{name}: {counted} ({result.seconds} s)", soft_wrap=True)
    return results


if __name__ == "__main__":
    sys.exit(main())
