"""A whole run: the environments, and one set-up after another."""

import time

from rich.console import Console
from rich.progress import Progress

from checks import requirements, trees
from checks.databases import postgresql
from evidence import facts, trial
from evidence.servers import celery, django_tests, forking, gunicorn, queues, uwsgi
from overlay import OverlayError, environment

SERVERS = [
    *gunicorn.SERVERS,
    *uwsgi.SERVERS,
    *celery.SERVERS,
    *queues.SERVERS,
    *forking.SERVERS,
    *django_tests.SERVERS,
]
QUICK = ("gunicorn sync", "multiprocessing")


def chosen(only=(), quick=False):
    """
    Return the Servers, those of the short run with `quick`, that have one of
    the names `only` in theirs, or all. Raise OverlayError if there is none.
    """
    servers = [server for server in SERVERS if not quick or server.name in QUICK]
    found = [
        server
        for server in servers
        if not only or any(name.lower() in server.name.lower() for name in only)
    ]
    if not found:
        names = ", ".join(server.name for server in servers)
        raise OverlayError(
            f"There is no server {' or '.join(only)}: name some of {names}."
        )
    return found


def measured(servers, version, quick, deadline, tls=False):
    """
    Run the set-ups of `servers` with Django `version`, with pools only if
    `quick`, until `deadline()`, a time of time.monotonic(), which is called
    when everything is installed; with `tls`, on Debian's PostgreSQL over TLS.

    Return the Setups, the Results of those for which there was time, and the
    versions of all that they consist of.
    """
    kinds = [trial.POOL] if quick else [trial.POOL, trial.PERSISTENT]
    wanted = trial.setups(servers, kinds)
    by_django, names = djangos(version)
    pythons = _interpreters(servers)
    with postgresql.debian() if tls else postgresql.embedded(tcp=True) as database:
        versions = {"Django": " and ".join(names), **facts.server(database)}
        for packages, python in pythons.items():
            if not isinstance(python, OverlayError):
                versions |= facts.installed(python, [*requirements.PSYCOPG, *packages])
        results = _results(
            {server.name: server for server in servers},
            wanted,
            by_django,
            pythons,
            database,
            deadline(),
        )
    return wanted, results, versions


def djangos(version):
    """
    Return the directories with the packages of each Django, by the Django of
    a Setup, and the versions of the official and the patched one.
    """
    stock = environment.python(
        f"evidence-stock-{version}", [f"Django==={version}", *requirements.DJANGO]
    )
    with trees.wheel(version) as wheel:
        fork = environment.python(
            f"evidence-fork-{version}", [str(wheel), *requirements.DJANGO]
        )
    versions = [
        facts.installed(python, ["Django"])["Django"] for python in (stock, fork)
    ]
    stock, fork = environment.packages(stock), environment.packages(fork)
    by_django = {trial.STOCK: stock, trial.WORKAROUND: stock, trial.FORK: fork}
    return by_django, versions


def interpreter(packages):
    """
    Return the interpreter of the environment with `packages`. Raise
    OverlayError where there can't be one.
    """
    names = [package.partition("==")[0] for package in packages] or ["psycopg"]
    return environment.python(
        f"evidence-{'-'.join(names)}", [*requirements.PSYCOPG, *packages]
    )


def _interpreters(servers):
    """
    Return the interpreter, or the OverlayError that says why there is none,
    by the packages that it is for.
    """
    by_packages = {}
    for packages in dict.fromkeys(server.packages for server in servers):
        try:
            by_packages[packages] = interpreter(packages)
        except OverlayError as error:
            by_packages[packages] = error
    return by_packages


def _results(servers, wanted, djangos, pythons, database, deadline):
    """Return the Results of those `wanted` that begin before `deadline`."""
    terminal, results = Console(stderr=True), []
    with Progress(console=terminal, disable=not terminal.is_terminal) as progress:
        task = progress.add_task("", total=len(wanted) * trial.TOKENS)
        for number, setup in enumerate(wanted, 1):
            if time.monotonic() > deadline:
                break
            name = ", ".join(setup)
            progress.update(task, description=name)
            server = servers[setup.server]
            python = pythons[server.packages]
            if isinstance(python, OverlayError):
                result = trial.Result(setup, reason=str(python))
            else:
                result = trial.result(
                    server,
                    setup,
                    python,
                    djangos[setup.django],
                    database,
                    deadline,
                    lambda: progress.advance(task),
                )
            results.append(result)
            # What hangs is cut short.
            progress.update(task, completed=number * trial.TOKENS)
            counted = result.reason or ", ".join(
                f"{number} {field}"
                for field, number in result.figures._asdict().items()
            )
            terminal.print(f"{name}: {counted} ({result.seconds} s)", soft_wrap=True)
            for error in result.errors:
                terminal.print(f"  {error}", soft_wrap=True, markup=False)
    return results
