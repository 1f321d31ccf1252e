"""Its settings: what `startproject` has, and the ways to keep connections."""

import os

from app.settings import *  # NOQA: F401, F403

if os.environ["EVIDENCE_CONNECTIONS"] == "none":
    DATABASES["default"]["CONN_MAX_AGE"] = 0  # NOQA: F405
APPS = "admin auth contenttypes sessions messages staticfiles"
INSTALLED_APPS = [*(f"django.contrib.{app}" for app in APPS.split()), "app.realistic"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "app.realistic.urls"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
