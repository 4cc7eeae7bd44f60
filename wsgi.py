"""The WSGI entry point: `gunicorn wsgi:app`, `flask run`."""

from seidra import create_app

app = create_app()
