"""The WSGI application of the API and the console."""

import os

from django.core.wsgi import get_wsgi_application

from scheduling.garbage import collect_seldom

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ordinaut_project.settings")

collect_seldom()
application = get_wsgi_application()
