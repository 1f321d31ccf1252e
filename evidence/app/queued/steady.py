"""A task of Django's own, for steady-queue."""

from app.queued import jobs

from django.tasks import task


@task()
def job():
    jobs.job()
