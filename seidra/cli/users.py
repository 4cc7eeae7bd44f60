"""`flask users ...`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from seidra import folding
from seidra.auth import accounts, first_account, invitations, limits, passwords
from seidra.auth.schemas import RegisterSchema
from seidra.cli.groups import CheckedGroup
from seidra.config import PASSWORD_VARIABLE
from seidra.database import DatabaseService
from seidra.database.base import INSTANCE, Connection, Database, Row
from seidra.database.queries import queries
from seidra.engines import read_setup
from seidra.platform.admin import RightsSchema
from seidra.platform.groups import check_engine_names
from seidra.platform.invitations import NewInvitationSchema

ANY = "any"
"""What an option of `flask users limits` says to say nothing any more."""


@click.group(cls=CheckedGroup)
def users() -> None:
    """Manage accounts."""


_password = click.option(
    "--password",
    envvar=PASSWORD_VARIABLE,
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help="Asked for when it is not given.",
)


@users.command("create")
@click.argument("username")
@click.argument("email")
@_password
@click.option("--admin", is_flag=True, help="Make it an administrator.")
def create_user(username: str, email: str, password: str, admin: bool) -> None:
    """Make an account. The first one ever is an administrator."""
    body = RegisterSchema().load({"username": username, "email": email, "password": password})
    with DatabaseService() as service:
        digest = passwords.hash_password(body["password"], service.settings)
        with service.database.transaction(INSTANCE) as tx:
            row = accounts.create_account(tx, body["username"], body["email"], digest, admin=admin)
        first_account.forget_token(service.settings)
    click.echo(
        f"Made {row['username']}{' (administrator)' if row['is_admin'] else ''}, id {row['id']}."
    )


@users.command("invite")
@click.option("--email", help="For this address alone.")
@click.option(
    "--days",
    type=click.IntRange(1, invitations.MOST_DAYS),
    default=invitations.DAYS,
    show_default=True,
    help="How long it is good.",
)
@click.option("--note", default="", help="For the list of invitations.")
@click.option("--group", metavar="NAME", help="The group that the account is put into.")
def invite_user(email: str | None, days: int, note: str, group: str | None) -> None:
    """Make a link at which one person makes an account, once."""
    # The rules of the API, with its words.
    body = NewInvitationSchema().load({"email": email, "days": days, "note": note})
    with DatabaseService() as service:
        with service.database.transaction(INSTANCE) as tx:
            made = invitations.invite(
                tx,
                None,
                email=body["email"],
                days=body["days"],
                note=body["note"],
                group_id=None if group is None else _existing_group(tx, group),
            )
        click.echo(f"{first_account.base_url(service.settings)}{made.path}")
    click.echo(f"Good until {made.expires_at}, once.", err=True)


@users.command("list")
def list_users() -> None:
    """List the accounts."""
    with DatabaseService() as service:
        for row in queries.users.list_all(service.database.connection):
            state = "active" if row["is_active"] else "inactive"
            click.echo(
                f"{row['id']:>6}  {row['username']:<50}  {row['email']:<40}  {state:<8}"
                f"  {'administrator' if row['is_admin'] else ''}".rstrip()
            )


@users.command("disable")
@click.argument("name")
def disable_user(name: str) -> None:
    """Disable an account and end its sessions."""
    _change_rights(name, active=False)
    click.echo(f"Disabled {name}.")


@users.command("enable")
@click.argument("name")
def enable_user(name: str) -> None:
    """Enable an account."""
    _change_rights(name, active=True)
    click.echo(f"Enabled {name}.")


@users.command("delete")
@click.argument("name")
@click.confirmation_option(prompt="This deletes the account and everything it has. Go on?")
def delete_user(name: str) -> None:
    """Delete an account and everything it has, pictures too."""
    with DatabaseService() as service, _account(service.database, name) as (tx, row):
        accounts.check_not_system(row["id"])
        accounts.delete_account(tx, row)
    click.echo(f"Deleted {name}; a worker removes what it had.")


@users.command("promote")
@click.argument("name")
def promote_user(name: str) -> None:
    """Make an account an administrator."""
    _change_rights(name, admin=True)
    click.echo(f"{name} is an administrator.")


@users.command("demote")
@click.argument("name")
def demote_user(name: str) -> None:
    """Make an administrator an ordinary account."""
    _change_rights(name, admin=False)
    click.echo(f"{name} is no administrator.")


@users.command("set-password")
@click.argument("name")
@_password
def set_user_password(name: str, password: str) -> None:
    """Give an account a new password and end its sessions."""
    RegisterSchema(only=("password",)).load({"password": password})
    with DatabaseService() as service:
        digest = passwords.hash_password(password, service.settings)
        with _account(service.database, name) as (tx, row):
            accounts.check_not_system(row["id"])
            accounts.set_password(tx, row["id"], digest)
    click.echo(f"{name} has a new password.")


def _named(context: click.Context, option: click.Parameter, names: tuple[str, ...]) -> Any:
    """What an option says that lists names: nothing, none in particular (`any`), or these."""
    if not names:
        return None
    return {"value": None if names == (ANY,) else list(names)}


def _counted(context: click.Context, option: click.Parameter, text: str | None) -> Any:
    """The same of an option that takes a number."""
    if text is None:
        return None
    if text == ANY:
        return {"value": None}
    if not text.isascii() or not text.isdigit():
        raise click.BadParameter(f"Must be a whole number, or `{ANY}`.", context, option)
    return {"value": int(text)}


_SHARING: dict[str, bool | None] = {"yes": True, "no": False, ANY: None}


@users.command("limits")
@click.argument("name")
@click.option("--group", help="The name of its group; `none`: in no group.")
@click.option("--engine", "engines", multiple=True, callback=_named, help="One that it may use.")
@click.option("--model", "models", multiple=True, callback=_named, help="One that it may use.")
@click.option("--engine-minutes", callback=_counted, help="Of all engines, a day in UTC.")
@click.option("--pictures", callback=_counted, help="How many it may have.")
@click.option("--bytes", "size", callback=_counted, help="How many bytes its pictures may have.")
@click.option("--sharing", type=click.Choice(list(_SHARING)), help="Whether it may share.")
@click.option("--nsfw", type=click.Choice(["yes", "no"]), help="Whether it may have NSFW things.")
def limit_user(
    name: str,
    group: str | None,
    engines: Any,
    models: Any,
    engine_minutes: Any,
    pictures: Any,
    size: Any,
    sharing: str | None,
    nsfw: str | None,
) -> None:
    """Say what an account may have and use, and show what holds for it. `any` takes a word back:
    then its group's holds, or the instance's."""
    given = {
        "engines": engines,
        "models": models,
        "engine_minutes_a_day": engine_minutes,
        "max_pictures": pictures,
        "max_bytes": size,
        "may_share": None if sharing is None else {"value": _SHARING[sharing]},
    }
    change = {field: word["value"] for field, word in given.items() if word is not None}
    if nsfw is not None:
        change["nsfw_allowed"] = nsfw == "yes"
    if change:
        change = RightsSchema().load(change)
    with DatabaseService() as service:
        check_engine_names(read_setup(service.settings), change)
        with service.database.transaction(INSTANCE) as tx:
            row = _existing_account(tx, name)
            if group is not None:
                change["group_id"] = None if group == "none" else _existing_group(tx, group)
            if "nsfw_allowed" in change:
                accounts.allow_nsfw(tx, row["id"], change["nsfw_allowed"])
            limits.change_limits(tx, row["id"], change)
            shown = limits.limits_in_force(tx, row["id"]).shown(service.settings)
    for field, value in shown.items():
        click.echo(f"{field:<22}{_told(value)}")


def _told(value: Any) -> str:
    if value is None:
        return "no limit"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)


def _existing_group(connection: Connection, name: str) -> int:
    found: int | None = queries.limits.group_by_name(connection, name_key=folding.fold(name))
    if found is None:
        raise click.ClickException(f"There is no group {name}.")
    return found


def _change_rights(name: str, *, active: bool | None = None, admin: bool | None = None) -> None:
    with DatabaseService() as service, _account(service.database, name) as (tx, row):
        accounts.set_rights(
            tx,
            row,
            active=bool(row["is_active"]) if active is None else active,
            admin=bool(row["is_admin"]) if admin is None else admin,
        )


@contextmanager
def _account(database: Database, name: str) -> Iterator[tuple[Connection, Row]]:
    """A transaction with the turns of the instance and of an account, and the account. Raises
    ClickException where there is none of this name (any more)."""
    id = _existing_account(database.connection, name)["id"]
    with database.transaction((INSTANCE, id)) as tx:
        row = _existing_account(tx, name)
        if row["id"] != id:
            raise click.ClickException(f"The account {name} has just changed its name; try again.")
        yield tx, row


def _existing_account(connection: Connection, name: str) -> Row:
    row = accounts.find_account(connection, name)
    if row is None:
        raise click.ClickException(f"There is no account {name}.")
    return row
