"""Its application, which asks the database when it is loaded, as many do."""

from django.contrib.auth import get_user_model
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
get_user_model().objects.exists()

# What Django loads with the first request otherwise.
from app.realistic import urls  # NOQA: E402, F401
