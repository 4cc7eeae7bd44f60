"""`flask search ...`."""

from __future__ import annotations

import click

from seidra.cli.groups import CheckedGroup
from seidra.database import DatabaseService
from seidra.operations.copies import copied_database
from seidra.start import search_texts


@click.group(cls=CheckedGroup)
def search() -> None:
    """Look after the search index."""


@search.command("check")
def search_check() -> None:
    """Compare the search index with the personas, in a copy; code 1 when they differ."""
    with (
        DatabaseService() as service,
        copied_database(service.settings, service.database) as copy,
    ):
        wrong = search_texts.check_texts(copy)
    if wrong:
        raise click.ClickException(f"{' '.join(wrong)} Run `flask search rebuild`.")
    click.echo("The search index agrees with its table.")


@search.command("rebuild")
def search_rebuild() -> None:
    """Make the search index again from the personas."""
    with DatabaseService() as service, service.database.transaction() as tx:
        count = search_texts.rebuild_texts(tx)
    click.echo(f"The search index is rebuilt; it has {count} personas.")
