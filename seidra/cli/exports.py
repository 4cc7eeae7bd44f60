"""`flask export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import click

from seidra.auth import accounts
from seidra.cli.groups import CheckedCommand
from seidra.database import DatabaseService
from seidra.database.queries import queries
from seidra.errors import StartError
from seidra.exchange.belongings import Belongings, Chosen
from seidra.exchange.exports import find_losses, make_file, write_export
from seidra.exchange.targets import SEIDRA, TARGETS, Losses
from seidra.files import open_files
from seidra.files.temporary import private


@click.command("export", cls=CheckedCommand)
@click.option("--user", required=True, help="Whose personas: a username or an email.")
@click.option(
    "--to", type=click.Choice(list(TARGETS)), default=SEIDRA, help="The format.", show_default=True
)
@click.option("--everything", is_flag=True, help="A ZIP with the pictures too.")
@click.option("--id", "ids", type=int, multiple=True, help="A persona's id; repeatable.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file, else standard output."
)
@click.option("--dry-run", is_flag=True, help="Only say what the format cannot carry.")
def export_personas(
    user: str, to: str, everything: bool, ids: tuple[int, ...], output: Path | None, dry_run: bool
) -> None:
    """Write personas into a file of SEIDRA's own or of another program. The server may run
    meanwhile."""
    if everything and (ids or to != SEIDRA):
        raise click.UsageError("--everything goes with neither --id nor another format.")
    with DatabaseService() as service:
        account = accounts.find_account(service.database.connection, user)
        if account is None:
            raise click.ClickException(f"There is no account {user}.")
        # Whoever has the shell sees everything anyway.
        for persona_id in ids:
            own = queries.personas.whole(
                service.database.connection, id=persona_id, user_id=account["id"]
            )
            if own is None:
                raise click.ClickException(f"{user} has no persona {persona_id}.")
        chosen = Chosen(list(dict.fromkeys(ids)) or None, nsfw=True)
        files = open_files(service.settings)
        belongings = Belongings(service.database, files, account["id"], chosen)
        if dry_run:
            _print_losses(find_losses(belongings, to, library=to == SEIDRA))
            return
        if output is None:
            if sys.stdout.isatty():
                raise click.UsageError("Give -o FILE, or send standard output into a file.")
            _write(sys.stdout.buffer, belongings, to)
            return
        if output.exists():
            raise StartError(f"There is a file {output} already.")
        try:
            with open(output, "xb", opener=private) as out:
                _write(out, belongings, to)
        except BaseException as error:
            output.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise StartError(f"{output} cannot be written: {error.strerror}.") from None
            raise


def _write(out: IO[bytes], belongings: Belongings, target: str) -> None:
    """One file where the format has one for all and they are few, or else a ZIP."""
    count, together = belongings.count(), TARGETS[target].together
    if target != SEIDRA and (count == 1 or 1 < together >= count):
        file, lost = make_file(belongings, target)
        out.write(file.data)
    else:
        losses = Losses(target)
        for _ in write_export(out, belongings, target, losses):
            pass
        lost = losses.lost
    out.flush()
    if lost:
        click.echo(f"{lost} things are not in it; --dry-run says which.", err=True)


def _print_losses(losses: Losses) -> None:
    told = losses.as_json()
    for entry in told["entries"]:
        for each in entry["lost"]:
            click.echo(f"{entry['name']}: {each['detail']}")
    click.echo(f"{told['personas']} personas, {told['lost']} things that {losses.target} lacks.")
