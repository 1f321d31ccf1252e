"""Dramatiq's actors, which it looks for here."""

from app.queued import jobs
from dramatiq import actor


@actor
def job():
    jobs.job()
