"""Celery's prefork pool."""

import contextlib

from checks.databases.redis import redis
from evidence import running
from evidence.servers import SAFE, Server

PACKAGES = ("celery==5.7.0",)

PRODUCER = "from app.tasks import echo\nfor _ in range({}): echo.delay()"

# More than there are tasks.
REUSE_MAX = "100000"


def _answers(run, broker="filesystem://", fixup="yes", reuse=""):
    (run.directory / "broker").mkdir()
    run = run._replace(
        environ={
            **run.environ,
            "EVIDENCE_BROKER": broker,
            "EVIDENCE_DB_REUSE_MAX": reuse,
            "EVIDENCE_FIXUP": fixup,
        }
    )
    worker = run._replace(environ={**run.environ, "EVIDENCE_ROLE": "worker"})
    command = [run.python, "-m", "celery", "--app", "app.tasks", "worker"]
    command += ["--loglevel", "info", "--pool", "prefork"]
    command += ["--without-gossip", "--without-heartbeat", "--without-mingle"]
    with running.started(worker, command) as process:
        running.before_fork(worker, process)
        running.wait_for_log(worker, process, " ready.", 1)
        produce = [run.python, "-c", PRODUCER.format(run.tokens)]
        with running.started(run, produce):
            yield from running.answered_then_ended(run, process)


def _over_redis(run):
    with (
        redis() as address,
        contextlib.closing(_answers(run, f"redis+socket://{address}")) as answers,
    ):
        yield from answers


SERVERS = [
    Server(
        "Celery",
        PACKAGES,
        _answers,
        expected=SAFE,
        note=(
            "Its fixup for Django closes all connections around each task. Its broker "
            "is a directory, unless another one is named."
        ),
    ),
    Server(
        "Celery over Redis",
        (*PACKAGES, "packaging==26.3", "redis==8.1.0"),
        _over_redis,
        expected=SAFE,
    ),
    Server(
        "Celery CELERY_DB_REUSE_MAX",
        PACKAGES,
        lambda run: _answers(run, reuse=REUSE_MAX),
        expected=SAFE,
        note=(
            "Its fixup for Django closes the inherited connections in each child, and "
            "is told to keep the child's own."
        ),
    ),
    Server(
        "Celery without its fixup",
        PACKAGES,
        lambda run: _answers(run, fixup="no"),
        "worker_process_init",
    ),
]
