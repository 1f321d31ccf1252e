"""The application, which queries the database when it is loaded."""

from app.telling import ask_before_fork

from django.core.asgi import get_asgi_application

application = get_asgi_application()

# With --preload, this is in the process that forks the workers.
ask_before_fork()
