"""The command line: python3 evidence."""

import argparse
import contextlib
import importlib
import os
import random
import shlex
import sys
import time
from pathlib import Path

if not __package__:
    # Run by the directory's name.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from checks import requirements, settings  # noqa: E402
from evidence import files  # noqa: E402
from overlay import environment, run  # noqa: E402
from overlay.releases import usable  # noqa: E402

# In seconds, for all of it, and what is left for the set-ups at least where
# the environments had to be made first, and slowly.
LIMITS = {"quick": (180, 60), "servers": (2400, 2100)}
TABLES, STORM, BENCH, GAINS = "tables", "storm", "bench", "gains"
CASES = ("unsafe", "packages", "hooks", "processes")
# The options of what isn't one of these, and of those.
REPORTS = {"django", "html", "json", "only", "tls"}
NUMBERS = ("forks", "threads", "alive", "seconds", "seed")
SOFTWARE = ("database", "driver", "dev")
OPTIONS = {
    TABLES: {"check"},
    BENCH: {"django", "json", "quick"},
    GAINS: {"django", "json"},
    **dict.fromkeys(CASES, {"django"}),
    STORM: {"django", "json", "stock", "pool", "persistent", *NUMBERS, *SOFTWARE},
}
MEASURED = (BENCH, GAINS)
STARTED = "EVIDENCE_STARTED"


def main(arguments=None):
    """Run what `arguments` ask for, and return the exit status."""
    return run("evidence", _run, _options(arguments))


def _options(arguments):
    parser = _parser()
    options = parser.parse_args(arguments)
    taken = OPTIONS.get(options.what, REPORTS)
    for name in sorted(REPORTS.union(*OPTIONS.values()) - taken):
        if getattr(options, name) not in (None, False, []):
            parser.error(f"--{name} is not for {options.what}.")
    return options


def _up_to(most):
    def number(text):
        if not text.isdecimal() or not 0 < int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number from 1 to {most}"
            )
        return int(text)

    return number


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
        choices=[*LIMITS, *CASES, STORM, BENCH, GAINS, TABLES],
        default="quick",
        help="gunicorn and multiprocessing with a pool (quick, the default), every "
        "server that forks, with a pool and with persistent connections (servers), "
        "what is still not safe (unsafe), what packages around the database do "
        "(packages), what hooks do in processes that are forked (hooks), daemons, "
        "locks, and tests that start processes (processes), many forks from threads "
        "that query without pause (storm), what the fork costs (bench) and gives "
        "(gains), or nothing but the tables in README.md and docs from the figures "
        "that are kept in docs (tables)",
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
    parser.add_argument(
        "--tls",
        action="store_true",
        help="on Debian's PostgreSQL, over TLS (default: on that of a package)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="with bench: less of it, to see that it costs no more than it may",
    )
    parser.add_argument("--html", metavar="FILE", help="write the report to FILE")
    parser.add_argument("--json", metavar="FILE", help="keep the figures in FILE")
    group = parser.add_argument_group("with storm")
    # No more threads and children than a small machine bears.
    for name, most, text in zip(
        NUMBERS,
        (999_999, 64, 64, 86_400, 999_999),
        (
            "how many times to fork (default: 300)",
            "from how many threads (default: 4)",
            "how many children are alive at most (default: 8)",
            "in how many seconds at most (default: 60)",
            "what the threads' dice start from (default: another one each time)",
        ),
    ):
        group.add_argument(f"--{name}", metavar="N", type=_up_to(most), help=text)
    kinds = group.add_mutually_exclusive_group()
    kinds.add_argument("--pool", action="store_true", help="with a pool only")
    kinds.add_argument(
        "--persistent", action="store_true", help="with persistent connections only"
    )
    group.add_argument("--stock", action="store_true", help="on stock Django")
    group.add_argument(
        "--database",
        choices=("embedded", "postgresql", "mariadb"),
        help="PostgreSQL of a package (embedded, the default) or of Debian over TLS, "
        "or Debian's MariaDB, which has no pool",
    )
    group.add_argument(
        "--driver",
        choices=[*requirements.DRIVERS],
        help="the driver (default: psycopg, in its binary implementation, and "
        "mysqlclient)",
    )
    group.add_argument(
        "--dev",
        action="store_true",
        help="in Python's development mode, which checks memory and warns more",
    )
    return parser


def _run(options):
    version = usable(options.django)
    # The time goes on where bootstrap() starts this program again.
    started = float(os.environ.setdefault(STARTED, str(time.monotonic())))
    environment.bootstrap("evidence", requirements.EVIDENCE)
    # Only now, since they need what is installed there.
    if options.what == TABLES:
        from evidence import tables

        for pages, figures, *marker in tables.ALL:
            tables.update(pages, figures, options.check, *marker)
        return 0
    if options.what in CASES:
        return _cases(options.what, version)
    if options.what == STORM:
        return _storm(options, version)
    if options.what in MEASURED:
        return _measured(options, version)
    from rich.console import Console

    from checks.interrupts import unwinding
    from evidence import facts, page, report, series, tables

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
            options.tls,
        )
        document = report.document(
            servers, setups, results, versions, facts.machine(), _command(options)
        )
        if json:
            json.write_text(report.text(document))
        if html:
            html.write_text(page.page(document, tables.measures()), encoding="utf-8")
    print(f"{report.title(versions, document['machine'])}\n")
    terminal = Console()
    # What has no width of its own takes all that the table needs.
    width = None if terminal.is_terminal else 200
    Console(width=width).print(report.table(document))
    print(f"\n{report.LEGEND}\n\n{document['sentence']}")
    return 0 if document["proven"] else 1


def _cases(name, version):
    from checks.interrupts import unwinding
    from evidence import cases

    listed = importlib.import_module(f"evidence.{name}").CASES
    with unwinding():
        reasons = cases.differences(name, listed, version)
    for reason in reasons:
        print(f"Not as docs/{name}.md says: {reason}")
    return 1 if reasons else 0


def _measured(options, version):
    from checks.interrupts import unwinding
    from evidence import bench, costs, facts, gains, report

    command, machine = f"python3 evidence {options.what}", facts.machine()
    made, tables = {
        BENCH: (
            lambda: bench.document(
                version, options.quick, command + " --quick" * options.quick, machine
            ),
            costs.whole,
        ),
        GAINS: (lambda: gains.document(version, command, machine), gains.tables),
    }[options.what]
    with contextlib.ExitStack() as stack:
        stack.enter_context(unwinding())
        json = options.json and stack.enter_context(files.replacing(Path(options.json)))
        document = made()
        if json:
            json.write_text(report.text(document))
    print(tables(document))
    reasons = bench.beyond(document) if options.what == BENCH else []
    for reason in reasons:
        print(f"More than it may be: {reason}")
    return int(bool(reasons))


def _storm(options, version):
    from checks.interrupts import unwinding
    from evidence import facts, report, storm, trial

    given = {name: getattr(options, name) for name in NUMBERS}
    given["seed"] = given["seed"] or random.randrange(1, 1_000_000)
    wanted = storm.Storm(**{name: number for name, number in given.items() if number})
    django = trial.STOCK if options.stock else trial.FORK
    database = options.database or "embedded"
    driver = settings.check(database, options.driver, options.pool)
    software = storm.Software(database, driver, options.dev)
    kinds = [trial.POOL, trial.PERSISTENT] if driver in settings.POOLED else []
    if options.pool or options.persistent or not kinds:
        kinds = [trial.POOL if options.pool else trial.PERSISTENT]
    outcomes = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(unwinding())
        json = options.json and stack.enter_context(files.replacing(Path(options.json)))
        for connections in kinds:
            outcome = storm.outcome(wanted, connections, django, version, software)
            outcomes[connections, django] = outcome
            print(f"{connections}, {django}:", flush=True)
            print("\n".join(storm.report(wanted, outcome)), flush=True)
        if json:
            command = ["python3", "evidence", STORM]
            command += [f"--{name}={getattr(wanted, name)}" for name in NUMBERS]
            for name in (*SOFTWARE, "pool", "persistent", "stock", "django"):
                value = getattr(options, name)
                command += (
                    [f"--{name}" if value is True else f"--{name}={value}"]
                    if value
                    else []
                )
            document = storm.document(
                wanted, outcomes, facts.machine(), shlex.join(command)
            )
            json.write_text(report.text(document))
    return int(not all(outcome.intact(wanted) for outcome in outcomes.values()))


def _command(options):
    """Return what repeats the run."""
    only = [argument for name in options.only for argument in ("--only", name)]
    django = ["--django", options.django] if options.django else []
    tls = ["--tls"] * options.tls
    return shlex.join(["python3", "evidence", options.what, *only, *django, *tls])


if __name__ == "__main__":
    sys.exit(main())
