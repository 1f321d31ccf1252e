"""Settings of task queues: their applications, brokers, and workers."""

import os

from app.settings import *  # NOQA: F401, F403

INSTALLED_APPS = ["app.queued", os.environ["EVIDENCE_APP"]]
REDIS = f"unix://{os.environ['EVIDENCE_REDIS']}"

RQ_QUEUES = {"default": {"URL": REDIS}}
HUEY = {
    "huey_class": "huey.RedisHuey",
    "connection": {"url": REDIS},
    "immediate": False,
}
Q_CLUSTER = {"redis": REDIS, "workers": 4, "recycle": 30, "save_limit": -1}
