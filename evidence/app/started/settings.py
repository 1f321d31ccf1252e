"""Settings of the tests that start processes."""

from app.settings import *  # NOQA: F401, F403

INSTALLED_APPS = ["app.started"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
