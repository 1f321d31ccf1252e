"""What app.limits needs besides: a file of SQLite."""

from app.settings import *  # NOQA: F403

DATABASES["file"] = {  # NOQA: F405
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": "file.sqlite3",
    # In seconds, for a lock.
    "OPTIONS": {"timeout": 0.1},
}
