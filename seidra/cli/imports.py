"""`flask import`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from seidra.auth import accounts
from seidra.cli.groups import CheckedCommand
from seidra.database import DatabaseService
from seidra.database.base import Row, required_row
from seidra.database.queries import queries
from seidra.errors import Problem, StartError
from seidra.exchange.import_view import entry_json
from seidra.exchange.incoming import read_files
from seidra.exchange.plan import MAX_ENTRIES, ON_CONFLICT, Options, make_plan
from seidra.exchange.work import ImportWork, begin_apply, delete_import
from seidra.files import open_files
from seidra.values import from_json

_PAGE = 200
_POLL = 0.2


@click.command("import", cls=CheckedCommand)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--user", required=True, help="Whose personas they become: a username or an email.")
@click.option("--apply", is_flag=True, help="Do it; else it is only said what would be done.")
@click.option(
    "--on-conflict",
    type=click.Choice(ON_CONFLICT),
    help="What becomes of entries that are in conflict with what is there.",
)
@click.option("--format", default="auto", help="The files' format; else it is found by content.")
@click.option("--encoding", help="In what the texts are encoded, where they do not say it.")
@click.option("--tag", "tags", multiple=True, help="For each persona; repeatable.")
@click.option("--nsfw", is_flag=True, help="All of them are NSFW.")
def import_files(
    files: tuple[Path, ...],
    user: str,
    apply: bool,
    on_conflict: str | None,
    format: str,
    encoding: str | None,
    tags: tuple[str, ...],
    nsfw: bool,
) -> None:
    """Import personas from files of other programs. The server may run meanwhile."""
    incoming = read_files(_read(files), format, encoding)
    with DatabaseService() as service:
        database, store = service.database, open_files(service.settings)
        account = accounts.find_account(database.connection, user)
        if account is None:
            raise click.ClickException(f"There is no account {user}.")
        user_id = account["id"]
        options = Options(on_conflict, tags, True if nsfw else None)
        import_id = make_plan(database, store, user_id, incoming.found, options)
        _print_entries(service, import_id)
        row = _row(service, user_id, import_id)
        _print_counts(from_json(row["summary"])["actions"])
        if not apply:
            delete_import(database, user_id, import_id, _any_version)
            click.echo("Nothing was changed; --apply does it.")
            return
        worker = ImportWork(database, store, service.settings)
        try:
            begin_apply(
                database,
                user_id,
                import_id,
                {},
                None,
                _any_version,
                service.settings,
                worker.claim,
            )
        except Problem as problem:
            delete_import(database, user_id, import_id, _any_version)
            if problem.code == "undecided":
                raise StartError(
                    "Some entries are in conflict with what is there: say what is to become of"
                    " them by --on-conflict."
                ) from None
            raise
        worker.finish(import_id)
        row = _wait(service, user_id, import_id)
        if row["status"] != "applied":
            raise StartError(f"Nothing was imported: {row['error_message']}")
        click.echo(f"Applied. It can be undone for 30 days: import {import_id}.")


def _read(files: tuple[Path, ...]) -> Iterator[tuple[str, bytes]]:
    for path in files:
        try:
            yield path.name, path.read_bytes()
        except OSError as error:
            raise StartError(f"{path} cannot be read: {error.strerror}.") from None


def _any_version(version: int) -> None:
    """The command knows of no other version than the present one."""


def _row(service: DatabaseService, user_id: int, import_id: str) -> Row:
    return required_row(
        queries.imports.get(service.database.connection, id=import_id, user_id=user_id)
    )


def _wait(service: DatabaseService, user_id: int, import_id: str) -> Row:
    """The import, once nobody works on it: a server's worker may have taken it over."""
    row = _row(service, user_id, import_id)
    while row["status"] == "applying":
        time.sleep(_POLL)
        row = _row(service, user_id, import_id)
    return row


def _print_entries(service: DatabaseService, import_id: str) -> None:
    for offset in range(0, MAX_ENTRIES, _PAGE):
        rows = queries.imports.entries_page(
            service.database.connection,
            which="all",
            import_id=import_id,
            action=None,
            nsfw=True,
            limit=_PAGE,
            offset=offset,
        )
        for row in rows:
            _print_entry(entry_json(row))
        if len(rows) < _PAGE:
            return


def _print_entry(entry: dict[str, Any]) -> None:
    told = [f"{entry['action']:<9}  {entry['name']}  ({entry['locator']})"]
    if entry["error"]:
        told.append(entry["error"]["detail"])
    for difference in entry["diff"]:
        if difference["outcome"] != "here":
            told.append(f"{_OUTCOMES[difference['outcome']]}: {difference['field']}")
    told += [f"{warning['code']}: {warning['detail']}" for warning in entry["warnings"]]
    # What stands in a file must not steer the terminal.
    click.echo("\n           ".join(_CONTROLS.sub("?", line) for line in told))


_OUTCOMES = {"there": "changed", "conflict": "differs"}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _print_counts(actions: dict[str, int]) -> None:
    told = ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    click.echo(f"{sum(actions.values())} entries: {told}.")
