"""Huey's tasks, which it looks for here."""

from app.queued import jobs
from huey.contrib.djhuey import task


@task()
def job():
    jobs.job()
