"""`flask init`, `flask db ...`, `flask seed`, `flask summary`."""

from __future__ import annotations

import click

from seidra.auth import first_account
from seidra.cli.groups import CheckedCommand, CheckedGroup
from seidra.config import get_settings
from seidra.database import (
    DatabaseService,
    init_database,
    migrate,
    move,
    seed_default_nsfw_settings,
    seed_default_user,
)
from seidra.errors import StartError
from seidra.operations import rollback as rollbacks


@click.command(cls=CheckedCommand)
def init() -> None:
    """Make the folders, migrate the database and seed the defaults. Safe to repeat."""
    applied = init_database()
    click.echo(f"Applied {len(applied)} migrations." if applied else "The schema is up to date.")
    click.echo(f"The database {get_settings().database_place} is ready.")
    with DatabaseService() as service:
        link = first_account.setup_link(service.database.connection, service.settings)
    if link:
        click.echo(f"Make the first account, the administrator's: {link}")


@click.group(cls=CheckedGroup)
def db() -> None:
    """Migrate the database, or copy it."""


@db.command("upgrade")
def upgrade_schema() -> None:
    """Apply every migration that is missing."""
    applied = init_database(seed=False)
    for id in applied:
        click.echo(f"applied {id}")
    if not applied:
        click.echo("The schema is up to date.")


@db.command("rollback")
@click.option("--count", default=1, type=click.IntRange(1), help="How many migrations to undo.")
@click.option("--to", help="Undo all that came after this one, such as 0016; it stays.")
@click.option("--all", "everything", is_flag=True, help="Undo all of them.")
@click.confirmation_option(prompt="This deletes the data that the migrations hold. Go on?")
def roll_back_schema(count: int, to: str | None, everything: bool) -> None:
    """Undo the last migrations, with their data. Stop the server first."""
    settings = get_settings()
    if settings.database_engine == "sqlite" and not settings.database_path.exists():
        raise StartError(f"There is no database {settings.database_place}.")
    if everything and to is not None:
        raise click.UsageError("Give --all or --to, not both.")
    if to is not None:
        count = rollbacks.count_after(settings, to)
    undone = rollbacks.rollback(settings, None if everything else count)
    for id in undone:
        click.echo(f"rolled back {id}")
    if not undone:
        click.echo("There is no migration to roll back.")


@db.command("copy")
@click.argument("url")
def copy_database(url: str) -> None:
    """Copy the instance's database into the empty one of URL, of either engine; it is migrated
    first. Stop the server and the workers, so that nothing is written meanwhile."""
    settings = get_settings()
    target = settings.with_url(url)
    with migrate.start_lock(target):
        count = move.copy(settings, target, click.echo)
    click.echo(f"Copied {count} rows to {target.database_place}, and read the same back.")
    click.echo("Not copied: job events and workers. Set SEIDRA_DATABASE_URL, then start.")


@db.command("status")
def list_migrations() -> None:
    """List the migrations and whether they are applied; unknown ones are from a newer version."""
    for step in migrate.list_migrations(get_settings()):
        state = "unknown" if not step.known else "applied" if step.applied else "pending"
        click.echo(f"{state}  {step.id}")


@click.command(cls=CheckedCommand)
def seed() -> None:
    """Seed the default account and NSFW settings where they are absent."""
    seed_default_user()
    seed_default_nsfw_settings()
    click.echo("The defaults are in place.")


@click.command(cls=CheckedCommand)
def summary() -> None:
    """Print how many users, personas, jobs and media there are."""
    with DatabaseService() as service:
        for name, count in service.get_platform_summary().items():
            click.echo(f"{name:<9} {count}")
