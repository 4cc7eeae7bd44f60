"""`flask search ...`."""

from __future__ import annotations

import click

from seidra.cli.groups import CheckedGroup
from seidra.database import DatabaseService
from seidra.start import search_texts


@click.group(cls=CheckedGroup)
def search() -> None:
    """Look after the search index."""


@search.command("check")
def search_check() -> None:
    """Compare the search index with the personas; code 1 when they differ."""
    with DatabaseService() as service:
        wrong = search_texts.check_texts(service.database)
    if wrong:
        raise click.ClickException(f"{' '.join(wrong)} Run `flask search rebuild`.")
    click.echo("The search index agrees with its table.")


@search.command("rebuild")
def search_rebuild() -> None:
    """Make the search index again from the personas."""
    with DatabaseService() as service, service.database.transaction() as tx:
        count = search_texts.rebuild_texts(tx)
    click.echo(f"The search index is rebuilt; it has {count} personas.")
