"""What app.storm needs besides: a pool that grows and shrinks all the time."""

from app.settings import *  # NOQA: F403

if "OPTIONS" in DATABASES["default"]:  # NOQA: F405
    # In seconds.
    DATABASES["default"]["OPTIONS"]["pool"] = {  # NOQA: F405
        "min_size": 1,
        "max_size": 8,
        "max_idle": 0.2,
        "timeout": 15,
    }
