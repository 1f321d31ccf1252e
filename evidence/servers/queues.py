"""Task queues whose workers fork."""

import contextlib

from checks.databases.redis import redis
from evidence import lifecycle
from evidence.servers import Server

WORKAROUND = "at the job's start"
PRODUCER = "from app.queued.jobs import enqueue; enqueue({!r}, {})"


def _answers(trial, queue, application, *command):
    with redis() as address:
        trial = trial._replace(
            environ={
                **trial.environ,
                "DJANGO_SETTINGS_MODULE": "app.queued.settings",
                "EVIDENCE_APP": application,
                "EVIDENCE_REDIS": str(address),
            }
        )
        worker = trial._replace(environ={**trial.environ, "EVIDENCE_ROLE": "worker"})
        with lifecycle.started(
            worker, [trial.python, "-m", "django", *command]
        ) as process:
            lifecycle.before_fork(worker, process)
            produce = PRODUCER.format(queue, trial.tokens)
            with lifecycle.started(trial, [trial.python, "-c", produce]):
                yield from lifecycle.answered_then_ended(trial, process)


def _server(name, packages, *arguments):
    def answers(trial):
        with contextlib.closing(_answers(trial, *arguments)) as answers:
            yield from answers

    return Server(name, packages, answers, WORKAROUND)


REDIS = "redis==8.1.0"
SERVERS = [
    _server(
        "RQ",
        ("django-rq==4.2.0", "rq==3.0.0", REDIS),
        *("rq", "django_rq", "rqworker", "default"),
    ),
    _server(
        "Huey",
        ("huey==3.5.4", REDIS),
        *("huey", "huey.contrib.djhuey", "run_huey"),
        *("--worker-type", "process", "--workers", "4"),
    ),
    _server(
        "django-q2",
        ("django-q2==1.11.1", REDIS),
        *("q2", "django_q", "qcluster"),
    ),
]
