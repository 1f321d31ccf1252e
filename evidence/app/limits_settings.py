"""What app.unsafe needs besides: a file of SQLite, and a cache in Redis."""

import os

from app.settings import *  # NOQA: F403

DATABASES["file"] = {  # NOQA: F405
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": "file.sqlite3",
    # In seconds, for a lock.
    "OPTIONS": {"timeout": 0.1},
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ.get("EVIDENCE_REDIS", "redis://127.0.0.1:0"),
    }
}
