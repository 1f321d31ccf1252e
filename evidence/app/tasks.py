"""Celery's application, which queries the database when it is loaded."""

import os

from app import workaround
from app.telling import ask, ask_before_fork
from celery import Celery, signals

import django

FIXUPS = ["celery.fixups.django:fixup"]

app = Celery(
    "app",
    broker="filesystem://",
    fixups=FIXUPS if os.environ["EVIDENCE_FIXUP"] == "yes" else [],
)
app.conf.update(
    broker_transport_options={
        "data_folder_in": "broker",
        "data_folder_out": "broker",
        "control_folder": "control",
    },
    broker_connection_retry_on_startup=True,
    worker_concurrency=4,
    worker_hijack_root_logger=False,
    worker_max_tasks_per_child=30,
    worker_redirect_stdouts=False,
)
if reuse := os.environ.get("EVIDENCE_DB_REUSE_MAX"):
    app.conf.CELERY_DB_REUSE_MAX = int(reuse)


@app.task(ignore_result=True)
def echo():
    """Ask for a token, in a child."""
    ask(1)


@signals.worker_process_init.connect
def start_child(**named):
    workaround.in_child()


@signals.worker_shutdown.connect
def end(**named):
    """Ask in the parent, when its children have ended."""
    ask(3, parent=True)


django.setup()
if os.environ.get("EVIDENCE_ROLE") == "worker":
    ask_before_fork()
