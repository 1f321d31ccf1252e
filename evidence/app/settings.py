"""The least that Django needs, and a connection pool."""

import json
import os

SECRET_KEY = "evidence"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "app.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "OPTIONS": {"pool": True},
        # HOST, PORT, USER, PASSWORD, and NAME.
        **json.loads(os.environ["EVIDENCE_DATABASE"]),
    }
}
