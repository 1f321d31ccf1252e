"""
Ask for tokens in a mule of uWSGI, which runs this file; the workers and the
other mules were forked from the same process.
"""

import os
import time

from app.telling import ask

for _ in range(int(os.environ["EVIDENCE_MULE"])):
    ask(1)
# If it ended, uWSGI would start it again.
time.sleep(60)
