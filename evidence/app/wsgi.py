"""The application, which queries the database when it is loaded."""

import json

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from app.echo import echo  # noqa: E402

# With --preload, this is in the process that forks the workers.
print(json.dumps(echo("before the fork")), flush=True)
