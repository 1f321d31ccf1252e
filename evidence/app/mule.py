"""
Ask for tokens in a mule of uWSGI, which runs this file; the workers and the
other mules were forked from the same process.
"""

import os
import time

from app.telling import ask

from django.db import close_old_connections

closing, tokens = os.environ["EVIDENCE_MULE"].split()
for _ in range(int(tokens)):
    if closing == "closing":
        close_old_connections()
    ask(1)
# If it ended, uWSGI would start it again.
time.sleep(60)
