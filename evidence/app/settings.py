"""The least that Django needs, and connections that are kept."""

import json
import os

SECRET_KEY = "evidence"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "app.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        # HOST, PORT, USER, PASSWORD, and NAME.
        **json.loads(os.environ["EVIDENCE_DATABASE"]),
        **{
            "pool": {"OPTIONS": {"pool": True}},
            "persistent": {"CONN_MAX_AGE": 600},
        }[os.environ["EVIDENCE_CONNECTIONS"]],
    }
}
