"""The least that Django needs, and connections that are kept."""

import json
import os

SECRET_KEY = "evidence"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "app.urls"

# ENGINE, HOST, PORT, USER, PASSWORD, NAME, and OPTIONS.
DATABASE = json.loads(os.environ["EVIDENCE_DATABASE"])
if os.environ["EVIDENCE_CONNECTIONS"] == "pool":
    DATABASE["OPTIONS"] = {**DATABASE.get("OPTIONS", {}), "pool": True}
else:
    DATABASE["CONN_MAX_AGE"] = 600
DATABASES = {"default": DATABASE}
