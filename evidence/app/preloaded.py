"""What a forkserver preloads: a module that asks as it is imported."""

import os

from app.child import configured, session

configured()
PROCESS, SESSION = os.getpid(), session()
