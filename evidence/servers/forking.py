"""What forks in Python itself."""

from evidence import running
from evidence.servers import Server


def _answers(run, how):
    tokens = run.tokens // (running.WORKERS + 1)
    command = [run.python, "-m", "app.forking", how, running.WORKERS, tokens]
    with running.started(run, command) as process:
        yield from running.answered(run, process)


def _server(name, how):
    return Server(name, (), lambda run: _answers(run, how), "at the child's start")


SERVERS = [
    _server("multiprocessing", "process"),
    _server("multiprocessing.Pool", "pool"),
    _server("ProcessPoolExecutor", "executor"),
    _server("os.fork()", "fork"),
]
