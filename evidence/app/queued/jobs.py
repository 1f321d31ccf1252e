"""The jobs of task queues, and what puts them there."""

from app import workaround
from app.telling import ask

import django


def job():
    """Ask for a token, in a child."""
    workaround.in_child()
    ask(1)


def rq(jobs):
    from django_rq import enqueue

    for _ in range(jobs):
        enqueue(job)


def q2(jobs):
    from django_q.tasks import async_task

    for _ in range(jobs):
        async_task(job)


def huey(jobs):
    from app.queued.tasks import job

    for _ in range(jobs):
        job()


def enqueue(queue, jobs):
    """Have the function of the name `queue` put so many `jobs` into it."""
    django.setup()
    globals()[queue](jobs)
