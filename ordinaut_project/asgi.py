"""The ASGI application that uvicorn serves: Django's WSGI application behind a2wsgi's threads.

Running all of Django as ASGI halves the API's throughput, because each synchronous view pays for its own hop into a
thread; a2wsgi pays for one hop and keeps the WSGI stack. Streams and MCP join here as plain ASGI paths.
"""

import os
from typing import cast

# Before any import below: what they import reads the settings.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ordinaut_project.settings")

from a2wsgi import WSGIMiddleware

from ordinaut_project.body_limit import Application, BodyLimitMiddleware
from ordinaut_project.wsgi import application as django_application
from scheduling.checks import require_service_settings

require_service_settings()

application = BodyLimitMiddleware(cast(Application, WSGIMiddleware(django_application, workers=16)))
