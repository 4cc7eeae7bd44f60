"""The command line: `flask init`, `flask db ...`, `flask users ...`, `flask worker`, `flask run`.

The commands are flask's plugins (setup.cfg, flask.commands), so that they run without making the app: `flask db
status` must work on a database that the app would refuse or migrate.
"""

from __future__ import annotations

import logging.config
import signal
import sqlite3
import sys
import threading
from types import FrameType
from typing import Any

import click
from flask.cli import ScriptInfo, run_command
from flask.helpers import get_debug_flag
from marshmallow import ValidationError
from werkzeug.serving import is_running_from_reloader

from seidra import engines, logs
from seidra.auth import accounts, passwords
from seidra.auth.schemas import RegisterSchema
from seidra.config import PASSWORD_VARIABLE, Settings, get_settings
from seidra.database import DatabaseService, init_database, migrate, seed_default_nsfw_settings, seed_default_user
from seidra.database.connect import Row
from seidra.errors import Problem, StartError, flatten
from seidra.jobs.embedded import start_worker
from seidra.jobs.worker import Worker
from seidra.media.storage import Storage
from seidra.personas import search as persona_search
from seidra.platform import metrics
from seidra.queries import queries


class CheckedGroup(click.Group):
    """A group whose commands' failures are one sentence on standard error and code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        return _told(super().invoke, ctx)


class CheckedCommand(click.Command):
    """A command with the same manners."""

    def invoke(self, ctx: click.Context) -> Any:
        return _told(super().invoke, ctx)


def _told(invoke: Any, ctx: click.Context) -> Any:
    try:
        return invoke(ctx)
    except Problem as problem:
        raise click.ClickException(problem.detail) from None
    except ValidationError as error:
        rules = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in flatten(error.messages).items())
        raise click.ClickException(rules) from None


# ------------------------------------------------------------------------------------------------ the database


@click.command(cls=CheckedCommand)
def init() -> None:
    """Make the folders, migrate the database and seed the defaults. Safe to repeat."""
    applied = init_database()
    click.echo(f"Applied {len(applied)} migrations." if applied else "The schema is up to date.")
    click.echo(f"The database {get_settings().database_path} is ready.")


@click.group(cls=CheckedGroup)
def db() -> None:
    """Migrate the database."""


@db.command()
def upgrade() -> None:
    """Apply every migration that is missing."""
    applied = init_database(seed=False)
    for id in applied:
        click.echo(f"applied {id}")
    if not applied:
        click.echo("The schema is up to date.")


@db.command()
@click.option("--count", default=1, type=click.IntRange(1), help="How many migrations to undo.")
@click.option("--all", "everything", is_flag=True, help="Undo all of them.")
@click.confirmation_option(prompt="This deletes the data that the migrations hold. Go on?")
def rollback(count: int, everything: bool) -> None:
    """Undo the last migrations, with their data. Stop the server first."""
    settings = get_settings()
    if not settings.database_path.exists():
        raise StartError(f"There is no database {settings.database_path}.")
    with migrate.start_lock(settings):
        undone = migrate.rollback(settings, None if everything else count)
    for id in undone:
        click.echo(f"rolled back {id}")
    if not undone:
        click.echo("There is no migration to roll back.")


@db.command()
def status() -> None:
    """List the migrations and whether they are applied; unknown ones are from a newer version."""
    for step in migrate.status(get_settings()):
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


@click.group(cls=CheckedGroup)
def search() -> None:
    """Look after the search index."""


@search.command("check")
def search_check() -> None:
    """Compare the search index with the personas; code 1 when they differ."""
    with DatabaseService() as service, service.database.transaction() as tx:
        wrong = persona_search.check(tx)
    if wrong:
        raise click.ClickException(f"{' '.join(wrong)} Run `flask search rebuild`.")
    click.echo("The search index agrees with its table.")


@search.command("rebuild")
def search_rebuild() -> None:
    """Make the search index again from the personas."""
    with DatabaseService() as service, service.database.transaction() as tx:
        count = persona_search.rebuild(tx)
    click.echo(f"The search index is rebuilt; it has {count} personas.")


# ------------------------------------------------------------------------------------------------ accounts


@click.group(cls=CheckedGroup)
def users() -> None:
    """Manage accounts."""


_password = click.option(
    "--password", envvar=PASSWORD_VARIABLE, prompt=True, hide_input=True, confirmation_prompt=True,
    help="Asked for when it is not given.",
)  # fmt: skip


@users.command()
@click.argument("username")
@click.argument("email")
@_password
@click.option("--admin", is_flag=True, help="Make it an administrator.")
def create(username: str, email: str, password: str, admin: bool) -> None:
    """Make an account. The first one ever is an administrator."""
    body = RegisterSchema().load({"username": username, "email": email, "password": password})
    with DatabaseService() as service:
        digest = passwords.hash_password(body["password"], service.settings)
        with service.database.transaction() as tx:
            row = accounts.create(tx, body["username"], body["email"], digest, admin=admin)
    click.echo(f"Made {row['username']}{' (administrator)' if row['is_admin'] else ''}, id {row['id']}.")


@users.command("list")
def list_users() -> None:
    """List the accounts."""
    with DatabaseService() as service:
        for row in queries.users.list_all(service.database.connection):
            state = "active" if row["is_active"] else "inactive"
            click.echo(f"{row['id']:>6}  {row['username']:<50}  {row['email']:<40}  {state:<8}"
                       f"  {'administrator' if row['is_admin'] else ''}".rstrip())  # fmt: skip


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """Disable an account and end its sessions."""
    _change_rights(name, active=False)
    click.echo(f"Disabled {name}.")


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Enable an account."""
    _change_rights(name, active=True)
    click.echo(f"Enabled {name}.")


@users.command()
@click.argument("name")
def promote(name: str) -> None:
    """Make an account an administrator."""
    _change_rights(name, admin=True)
    click.echo(f"{name} is an administrator.")


@users.command()
@click.argument("name")
def demote(name: str) -> None:
    """Make an administrator an ordinary account."""
    _change_rights(name, admin=False)
    click.echo(f"{name} is no administrator.")


@users.command("set-password")
@click.argument("name")
@_password
def set_password(name: str, password: str) -> None:
    """Give an account a new password and end its sessions."""
    RegisterSchema(only=("password",)).load({"password": password})
    with DatabaseService() as service:
        digest = passwords.hash_password(password, service.settings)
        with service.database.transaction() as tx:
            found = _account(tx, name)
            accounts.check_not_system(found["id"])
            accounts.set_password(tx, found["id"], digest)
    click.echo(f"{name} has a new password.")


def _change_rights(name: str, *, active: bool | None = None, admin: bool | None = None) -> None:
    with DatabaseService() as service, service.database.transaction() as tx:
        row = _account(tx, name)
        accounts.set_rights(
            tx, row,
            active=bool(row["is_active"]) if active is None else active,
            admin=bool(row["is_admin"]) if admin is None else admin,
        )  # fmt: skip


def _account(connection: sqlite3.Connection, name: str) -> Row:
    row = accounts.find(connection, name)
    if row is None:
        raise click.ClickException(f"There is no account {name}.")
    return row


# ------------------------------------------------------------------------------------------------ processes


@click.command(cls=CheckedCommand)
@click.option("--grace", default=25.0, type=click.FloatRange(0), help="Seconds a stop waits for the job in hand.")
def worker(grace: float) -> None:
    """Work off jobs until SIGTERM or SIGINT; the job in hand is finished, or given back."""
    settings = get_settings()
    _prepare(settings)
    with DatabaseService(settings) as service:
        stop, wake = threading.Event(), threading.Event()

        def ask_to_stop(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, ask_to_stop)
        signal.signal(signal.SIGINT, ask_to_stop)
        running = Worker(service.database, settings, engines.get(settings.engine), wake)
        running.start()
        stop.wait()
        running.stop(grace)


def _prepare(settings: Settings) -> None:
    logging.config.dictConfig(logs.configuration(settings.log_level))
    engines.get(settings.engine)
    init_database(settings)
    Storage(settings).check()


@click.command("run", params=run_command.params, help=run_command.help)
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Flask's own `run`, with the embedded worker beside the server."""
    reload = get_debug_flag() if options.get("reload") is None else options["reload"]
    embedded = None
    # Without a handler Python dies of the signal, and the worker below would not give back its job.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if not reload or is_running_from_reloader():
        # With the reloader, the parent process only watches files.
        metrics.clear(get_settings())
        embedded = start_worker(ctx.ensure_object(ScriptInfo).load_app())
    try:
        ctx.invoke(run_command, **options)
    finally:
        if embedded is not None:
            embedded.stop(grace=5)
