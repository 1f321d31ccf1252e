"""Celery's prefork pool."""

from evidence import lifecycle
from evidence.servers import SAFE, Server

PACKAGES = ("celery==5.7.0",)

PRODUCER = "from app.tasks import echo\nfor _ in range({}): echo.delay()"

# More than there are tasks.
REUSE_MAX = "100000"


def answers(trial, fixup="yes", reuse=""):
    """
    Yield the Answers of a Trial, with Celery's `fixup` for Django or without,
    and as many tasks with a connection as `reuse` says.
    """
    (trial.directory / "broker").mkdir()
    trial = trial._replace(
        environ={
            **trial.environ,
            "EVIDENCE_DB_REUSE_MAX": reuse,
            "EVIDENCE_FIXUP": fixup,
        }
    )
    worker = trial._replace(environ={**trial.environ, "EVIDENCE_ROLE": "worker"})
    command = [trial.python, "-m", "celery", "--app", "app.tasks", "worker"]
    command += ["--loglevel", "info", "--pool", "prefork"]
    command += ["--without-gossip", "--without-heartbeat", "--without-mingle"]
    with lifecycle.started(worker, command) as process:
        lifecycle.before_fork(worker, process)
        lifecycle.wait_for_log(worker, process, " ready.", 1)
        produce = [trial.python, "-c", PRODUCER.format(trial.tokens)]
        with lifecycle.started(trial, produce):
            yield from lifecycle.answered_then_ended(trial, process)


SERVERS = [
    Server(
        "Celery",
        PACKAGES,
        answers,
        # Its fixup for Django closes all connections around each task.
        expected=SAFE,
    ),
    Server(
        "Celery CELERY_DB_REUSE_MAX",
        PACKAGES,
        lambda trial: answers(trial, reuse=REUSE_MAX),
        # The fixup closes what is inherited, and is told to keep the child's.
        expected=SAFE,
    ),
    Server(
        "Celery without its fixup",
        PACKAGES,
        lambda trial: answers(trial, fixup="no"),
        "worker_process_init",
    ),
]
