"""`flask usage`."""

from __future__ import annotations

import click
from marshmallow import ValidationError

from seidra.database import DatabaseService
from seidra.platform.limit_schemas import BY_ACCOUNT, BY_DAY, SpanQuery
from seidra.platform.usage import read_usage, span, usage_csv
from seidra.web.problems import flatten_messages


@click.command("usage")
@click.option("--from", "first", help="The first day, such as 2026-01-31.")
@click.option("--to", "last", help="The last day; default: today.")
@click.option("--by", "group_by", type=click.Choice([BY_ACCOUNT, BY_DAY]), default=BY_ACCOUNT)
@click.option("--csv", "as_csv", is_flag=True, help="As CSV.")
def usage(first: str | None, last: str | None, group_by: str, as_csv: bool) -> None:
    """Who had how much of the engines: minutes, pictures and bytes, by days in UTC."""
    asked = {"from": first, "to": last, "group_by": group_by}
    try:
        query = SpanQuery().load({name: text for name, text in asked.items() if text})
    except ValidationError as error:
        name, sentences = next(iter(flatten_messages(error.messages).items()))
        raise click.ClickException(f"--{name}: {sentences[0]}") from None
    with DatabaseService() as service:
        rows = read_usage(service.database.connection, query)
    if as_csv:
        click.echo(usage_csv(rows, group_by), nl=False)
        return
    click.echo(" to ".join(span(query)))
    for row in rows:
        whose = row["day"] if group_by == BY_DAY else row["username"]
        click.echo(
            f"{whose:<50}  {row['engine_seconds'] / 60:>10.1f} min"
            f"  {row['pictures']:>8} pictures  {row['bytes']:>15} bytes"
        )
