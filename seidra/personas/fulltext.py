"""Search on SQLite: words of three characters and more are found in the full-text index, where a
phrase of trigrams is exactly a substring; shorter ones by a scan of the owner's texts."""

from __future__ import annotations

from seidra import folding
from seidra.database.base import Connection
from seidra.database.queries import queries
from seidra.values import to_json


def found_ids(
    connection: Connection, user_id: int, words: list[str], nsfw: bool, favorite: bool | None
) -> list[str]:
    """JSON arrays of ids, in no order: what is in each of them contains all of these words. Without
    words one of all ids."""
    indexed = [word for word in words if len(word) >= folding.TRIGRAM]
    scanned = [word for word in words if len(word) < folding.TRIGRAM]
    found: list[str] = []
    if indexed:
        expression = _expression(indexed, nsfw, favorite)
        found.append(queries.search.indexed(connection, user_id=user_id, expression=expression))
    # It is done once for all words, and not at all where nothing is left to find.
    if "[]" not in found and (scanned or not found):
        found.append(
            queries.search.scanned(
                connection,
                user_id=user_id,
                nsfw=nsfw,
                favorite=favorite,
                words=to_json(scanned),
            )
        )
    return found


def check_index(tx: Connection) -> None:
    """Compare the index with its table; raises what the driver raises when they differ."""
    queries.search.check(tx)


def rebuild_index(tx: Connection) -> None:
    """Make the index again from its table, in one segment."""
    queries.search.rebuild(tx)
    queries.search.optimize(tx)


def _expression(words: list[str], nsfw: bool, favorite: bool | None) -> str:
    """The FTS5 expression: every word as a phrase, and the marks. Quotes make operators plain.

    With each word END finds the sentinels behind the owner's texts, where FTS5 stops: it looks for
    the next document that has all of them, and hands none up before, so one sentinel for the whole
    would not do.
    """
    marks = ['"FAV"'] if favorite else []
    expression = " AND ".join(f'({each} OR "END")' for each in [*map(_quoted, words), *marks])
    if not nsfw:
        expression = f'({expression}) NOT "NSF"'
    return f'({expression}) NOT "FAV"' if favorite is False else expression


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'
