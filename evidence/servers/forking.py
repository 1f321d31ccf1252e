"""What forks in Python itself."""

from evidence import lifecycle
from evidence.servers import Server


def _answers(trial, how):
    tokens = trial.tokens // (lifecycle.WORKERS + 1)
    command = [trial.python, "-m", "app.forking", how, lifecycle.WORKERS, tokens]
    with lifecycle.started(trial, command) as process:
        yield from lifecycle.answered(trial, process)


def _server(name, how):
    return Server(name, (), lambda trial: _answers(trial, how), "at the child's start")


SERVERS = [
    _server("multiprocessing", "process"),
    _server("ProcessPoolExecutor", "executor"),
]
