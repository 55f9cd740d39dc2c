"""The ASGI application that uvicorn serves: Django's WSGI application behind a2wsgi's threads.

Running all of Django as ASGI halves the API's throughput, because each synchronous view pays for its own hop into a
thread; a2wsgi pays for one hop and keeps the WSGI stack. Streams and MCP join here as plain ASGI paths.
"""

from a2wsgi import WSGIMiddleware

from ordinaut_project.wsgi import application as django_application

application = WSGIMiddleware(django_application, workers=16)
