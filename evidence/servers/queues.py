"""Task queues whose workers fork."""

import contextlib

from checks.databases.redis import redis
from evidence import lifecycle
from evidence.servers import Server

WORKAROUND = "at the job's start"
PRODUCER = "from app.queued.jobs import enqueue; enqueue({!r}, {})"


def _answers(trial, queue, applications, *command):
    with redis() as address:
        trial = trial._replace(
            environ={
                **trial.environ,
                "DJANGO_SETTINGS_MODULE": "app.queued.settings",
                "EVIDENCE_APPS": applications,
                "EVIDENCE_REDIS": str(address),
            }
        )
        if "contenttypes" in applications:
            migrate = [trial.python, "-m", "django", "migrate"]
            with lifecycle.started(trial, migrate) as process:
                lifecycle.wait(trial, process, lambda: process.poll() is not None)
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
RQ = ("django-rq==4.2.0", "rq==3.0.0", REDIS)

SERVERS = [
    _server("RQ", RQ, "rq", "django_rq", "rqworker", "default"),
    _server(
        "RQ, rqworker-pool",
        RQ,
        *("rq", "django_rq", "rqworker-pool", "default", "--num-workers", "4"),
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
    _server(
        "django-tasks-scheduler",
        ("django-tasks-scheduler==4.4.0", REDIS),
        *("scheduler", "django.contrib.auth django.contrib.contenttypes scheduler"),
        *("scheduler_worker", "default"),
    ),
]
