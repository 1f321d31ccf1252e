"""
The configuration of gunicorn with its gevent worker, which patches the
standard library in the workers. With --preload, that's too late for what the
application has imported.
"""

from gevent import monkey

monkey.patch_all()

from app.gunicorn import child_exit, post_fork  # noqa: E402, F401
