"""What is done when a worker loads the application."""

import os

from app.telling import ask_before_fork

from django.apps import AppConfig


class Queued(AppConfig):
    name = "app.queued"

    def ready(self):
        if os.environ.get("EVIDENCE_ROLE") == "worker":
            ask_before_fork()
