"""`flask users ...`."""

from __future__ import annotations

import click

from seidra.auth import accounts, first_account, invitations, passwords
from seidra.auth.schemas import RegisterSchema
from seidra.cli.groups import CheckedGroup
from seidra.config import PASSWORD_VARIABLE
from seidra.database import DatabaseService
from seidra.database.base import INSTANCE, Connection, Row
from seidra.database.queries import queries
from seidra.platform.invitations import NewInvitationSchema


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
def invite_user(email: str | None, days: int, note: str) -> None:
    """Make a link at which one person makes an account, once."""
    # The rules of the API, with its words.
    body = NewInvitationSchema().load({"email": email, "days": days, "note": note})
    with DatabaseService() as service:
        with service.database.transaction(INSTANCE) as tx:
            made = invitations.invite(
                tx, None, email=body["email"], days=body["days"], note=body["note"]
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
    with DatabaseService() as service, service.database.transaction(INSTANCE) as tx:
        row = _existing_account(tx, name)
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
        with service.database.transaction(INSTANCE) as tx:
            found = _existing_account(tx, name)
            accounts.check_not_system(found["id"])
            accounts.set_password(tx, found["id"], digest)
    click.echo(f"{name} has a new password.")


def _change_rights(name: str, *, active: bool | None = None, admin: bool | None = None) -> None:
    with DatabaseService() as service, service.database.transaction(INSTANCE) as tx:
        row = _existing_account(tx, name)
        accounts.set_rights(
            tx,
            row,
            active=bool(row["is_active"]) if active is None else active,
            admin=bool(row["is_admin"]) if admin is None else admin,
        )


def _existing_account(connection: Connection, name: str) -> Row:
    row = accounts.find_account(connection, name)
    if row is None:
        raise click.ClickException(f"There is no account {name}.")
    return row
