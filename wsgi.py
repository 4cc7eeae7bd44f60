"""The WSGI entry point: `gunicorn wsgi:app`, `flask run`."""

import click

from seidra import create_app
from seidra.errors import StartError

try:
    app = create_app()
except StartError as error:
    # What Flask's own commands, which know no StartError, show as one sentence.
    raise click.ClickException(error.message) from None
