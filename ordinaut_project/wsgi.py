"""The WSGI application of the API and the console."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ordinaut_project.settings")

application = get_wsgi_application()
