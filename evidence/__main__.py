"""The command line: python3 evidence."""

import argparse
import os
import random
import shlex
import sys
import time
from pathlib import Path

if not __package__:
    # Run by the directory's name.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from checks import interrupts, requirements, settings  # noqa: E402
from overlay import OverlayError, environment, run  # noqa: E402
from overlay.releases import usable  # noqa: E402

# In seconds, for all of it, and what is left for the set-ups at least where
# the environments had to be made first, and slowly.
LIMITS = {"quick": (180, 60), "servers": (2400, 2100)}
STARTED = "EVIDENCE_STARTED"

# The options of a storm, which are numbers, with the most that a small machine
# bears.
NUMBERS = {
    "forks": (999_999, "how many times to fork (default: 300)"),
    "threads": (64, "from how many threads (default: 4)"),
    "alive": (64, "how many children are alive at most (default: 8)"),
    "seconds": (86_400, "in how many seconds at most (default: 60)"),
    "seed": (999_999, "what the threads' dice start from (default: any)"),
}


def main(arguments=None):
    """Run what `arguments` ask for, and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return run("evidence", _run, _parser().parse_args(arguments), arguments)


def _run(options, arguments):
    version = usable(options.django)
    # The time goes on where bootstrap() starts this program again.
    options.started = float(os.environ.setdefault(STARTED, str(time.monotonic())))
    environment.bootstrap("evidence", requirements.EVIDENCE)
    with interrupts.unwinding():
        return options.command(options, version, arguments)


def _servers(options, version, arguments):
    # Only now, since they need what is installed there; below as well.
    from evidence import facts, page, proof, report, series

    quick = options.limits == "quick"
    servers = series.chosen(options.only, quick)
    html = options.html and Path(options.html)
    if html and not html.parent.is_dir():
        raise OverlayError(f"{html.parent} is no directory: name one for the report.")
    total, left = LIMITS[options.limits]
    setups, results, versions = series.measured(
        servers,
        version,
        quick,
        lambda: max(options.started + total, time.monotonic() + left),
        options.tls,
    )
    doubts = proof.doubts(servers, setups, results)
    command = shlex.join(["python3", "evidence", *arguments])
    made = facts.printed(command, versions)
    if html:
        html.write_text(page.page(servers, results, doubts, made), encoding="utf-8")
    print(f"{report.table(servers, results)}\n\n{report.LEGEND}\n")
    print(f"{report.sentence(servers, results)}\n\n{made}")
    for doubt in doubts:
        print(f"This run does not show that patched Django works: {doubt}")
    return int(bool(doubts))


def _cases(options, version, arguments):
    from evidence import cases

    return _told(*cases.tables(version, options.only), "Not as it is said: ")


def _bench(options, version, arguments):
    from evidence import bench

    tables = bench.tables(version, options.quick, arguments)
    return _told(*tables, "More than it may be: ")


def _told(tables, reasons, what):
    print("\n\n".join(tables))
    reasons = list(reasons)
    for reason in reasons:
        print(f"{what}{reason}")
    return int(bool(reasons))


def _storm(options, version, arguments):
    from evidence import facts, storm, trial

    given = {name: getattr(options, name) for name in NUMBERS}
    given["seed"] = given["seed"] or random.randrange(1, 1_000_000)
    wanted = storm.Storm(**{name: number for name, number in given.items() if number})
    driver = settings.check(options.database, options.driver, options.pool)
    kinds = [trial.POOL, trial.PERSISTENT] if driver in settings.POOLED else []
    if options.pool or options.persistent or not kinds:
        kinds = [trial.POOL if options.pool else trial.PERSISTENT]
    django = trial.STOCK if options.stock else trial.FORK
    status = 0
    for connections in kinds:
        outcome = storm.outcome(
            wanted, connections, django, version, options.database, driver
        )
        print(f"{connections}, {django}:", flush=True)
        print("\n".join(storm.report(wanted, outcome)), flush=True)
        status = status or int(not outcome.intact(wanted))
    print(
        facts.printed(shlex.join(["python3", "evidence", *arguments]), outcome.versions)
    )
    return status


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
        description="Show what forked processes do with database connections, on "
        "official Django and on patched Django. Without a command: gunicorn and "
        "multiprocessing, with a pool.",
    )
    parser.set_defaults(
        command=_servers, limits="quick", only=[], html=None, tls=False, django=None
    )
    commands = parser.add_subparsers(metavar="COMMAND")

    def add(name, command, text):
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        added.add_argument("--django", metavar="VERSION", help="the release of Django")
        return added

    quick = add("quick", _servers, "Run two servers, with a pool (the default).")
    servers = add("servers", _servers, "Run all servers that fork.")
    servers.set_defaults(limits="servers")
    for each in (quick, servers):
        each.add_argument("--html", metavar="FILE", help="write a report to look at")
        each.add_argument("--tls", action="store_true", help="on Debian's PostgreSQL")
    cases = add("cases", _cases, "Run what a child does after a fork, one by one.")
    for each in (servers, cases):
        each.add_argument(
            *("--only", "-k"),
            action="append",
            default=[],
            metavar="NAME",
            help="those that have NAME in theirs (may be repeated)",
        )
    bench = add(
        "bench", _bench, "Measure what patched Django costs, and what it gives."
    )
    bench.add_argument("--quick", action="store_true", help="less of it")
    storm = add("storm", _storm, "Fork many times from threads that query.")
    for name, (most, text) in NUMBERS.items():
        storm.add_argument(f"--{name}", metavar="N", type=_up_to(most), help=text)
    kinds = storm.add_mutually_exclusive_group()
    kinds.add_argument("--pool", action="store_true", help="with a pool only")
    kinds.add_argument(
        "--persistent", action="store_true", help="with persistent connections only"
    )
    storm.add_argument("--stock", action="store_true", help="on official Django")
    storm.add_argument(
        "--database",
        choices=("embedded", "postgresql", "mariadb"),
        default="embedded",
        help="PostgreSQL of a package (the default), of Debian over TLS, or MariaDB",
    )
    storm.add_argument("--driver", choices=[*requirements.DRIVERS])
    return parser


if __name__ == "__main__":
    sys.exit(main())
