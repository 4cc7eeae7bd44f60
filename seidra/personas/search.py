"""Which personas a search and tags match, and what search looks into.

Each engine finds words in its own way (`fulltext`, `trigrams`), with the same answers. Each filter
answers ids, and a page is cut from their intersection. Among what others share, of which there is
little, all of it is found by a scan of the shared texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol, cast

from seidra import folding
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.personas import fulltext, trigrams
from seidra.values import from_json, to_json

_FEW = 2_000
"""So many ids are looked up and sorted; of more the page is met sooner along an index."""

_Order = Literal["-created_at", "created_at", "-updated_at", "updated_at", "-name", "name"]


class FoundBy(NamedTuple):
    """What a persona is found by: its search text, and the keys of its tags."""

    text: str
    tag_keys: list[str]


class _TextIndex(Protocol):
    """What an engine's module does."""

    def found_ids(
        self,
        connection: Connection,
        user_id: int,
        words: list[str],
        nsfw: bool,
        favorite: bool | None,
    ) -> list[str]: ...

    def check_index(self, tx: Connection) -> None: ...

    def rebuild_index(self, tx: Connection) -> None: ...


_INDEXES: dict[str, _TextIndex] = {"sqlite": fulltext, "postgresql": trigrams}


def text_index(connection: Connection) -> _TextIndex:
    """How the engine of a connection finds words in texts."""
    return _INDEXES[connection.engine]


def found_by(values: dict[str, Any]) -> FoundBy:
    """What a persona with these fields is found by."""
    return FoundBy(search_text(values), sorted({folding.fold(tag) for tag in values["tags"]}))


def search_text(values: dict[str, Any]) -> str:
    """What search looks into for a persona with these fields."""
    return folding.document(
        [values["name"], values["description"], values["style_prompt"], *values["tags"]]
    )


def put_text(
    tx: Connection, user_id: int, persona_id: int, values: dict[str, Any], text: str
) -> None:
    """Write what search looks into for a persona; `values` are its fields."""
    queries.search.put(
        tx,
        user_id=user_id,
        id=persona_id,
        is_nsfw=bool(values["is_nsfw"]),
        is_favorite=bool(values["is_favorite"]),
        search_text=text,
    )


def write_found_by(
    tx: Connection, user_id: int, persona_id: int, values: dict[str, Any], found_by: FoundBy
) -> None:
    """Write what a persona with these fields is found and filtered by, in place of what was."""
    put_text(tx, user_id, persona_id, values, found_by.text)
    queries.personas.tags_clear(tx, persona_id=persona_id)
    queries.personas.tags_add(
        tx,
        [
            {"user_id": user_id, "tag_key": key, "persona_id": persona_id}
            for key in found_by.tag_keys
        ],
    )


def is_filtered(query: Mapping[str, Any]) -> bool:
    """Whether what a PersonaQuery asks for has to be found, and is not read along an index."""
    return bool(
        "search" in query or query["tag"] or query["untagged"] or query["is_favorite"] is False
    )


def scope_of(query: Mapping[str, Any]) -> str:
    """Whose personas a query asks for: a filter in a body says nothing of it, and means mine."""
    return str(query.get("scope", "mine"))


def found_page(
    connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any]
) -> tuple[list[Row], int]:
    """The rows of a page of what a PersonaQuery matches, and how many match in all. In one snapshot
    or transaction."""
    ids, total = page_ids(connection, user_id, nsfw, query)
    # A text without its persona, as only damage leaves it (`flask search check`), has no row.
    rows = queries.search.persona_page(connection, ids=ids, user_id=user_id, nsfw=nsfw)
    return rows, total


def page_ids(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> tuple[str, int]:
    """The ids of a page of what a PersonaQuery matches, a JSON array in its order, and how many
    match in all."""
    found = matching_ids(connection, user_id, nsfw, query)
    total = 0 if found == "[]" else found.count(",") + 1
    which: Literal["few", "many", "seen"] = "few" if total <= _FEW else "many"
    if scope_of(query) != "mine":
        which = "seen"
    page = queries.search.sorted_page(
        connection,
        which=which,
        order=cast(_Order, query["sort"]),
        ids=found,
        user_id=user_id,
        limit=query["limit"],
        offset=query["offset"],
    )
    return cast(str, page), total


def matching_ids(connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]) -> str:
    """The ids of all that the filters of a PersonaQuery match, in its scope: a JSON array, in no
    order."""
    scope = scope_of(query)
    if scope == "mine":
        return own_ids(connection, user_id, nsfw, query)
    shared = shared_ids(connection, user_id, nsfw, query)
    if scope == "shared":
        return shared
    own = own_ids(connection, user_id, nsfw, query)
    parts = [part[1:-1] for part in (own, shared) if part != "[]"]
    return "[" + ",".join(parts) + "]"


def shared_ids(connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]) -> str:
    """The ids of all that others share and the filters of a PersonaQuery match, likewise. None of
    them is the user's favourite."""
    if query["is_favorite"]:
        return "[]"
    found: str = queries.search.shared(
        connection,
        user_id=user_id,
        nsfw=nsfw,
        words=to_json(folding.words(query.get("search", ""))),
        tag_keys=to_json([folding.fold(tag) for tag in query["tag"]]),
        untagged=query["untagged"],
    )
    return found


def own_ids(connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]) -> str:
    """The ids of all of a user's own that the filters of a PersonaQuery match, likewise. It is
    parsed only to be compared with another: 40,000 ids are some."""
    words = folding.words(query.get("search", ""))
    filters = {"user_id": user_id, "nsfw": nsfw, "favorite": query["is_favorite"]}
    found: list[str] = []
    if query["tag"]:
        rows = queries.personas.matching_tagged(connection, **filters, **_tags(query["tag"]))
        found.append(to_json([row["id"] for row in rows]))
    if query["untagged"]:
        rows = queries.personas.matching_untagged(connection, **filters)
        found.append(to_json([row["id"] for row in rows]))
    # Without another filter no words find all; and nothing is looked for where nothing is left.
    if "[]" not in found and (words or not found):
        found += text_index(connection).found_ids(connection, words=words, **filters)
    first, *others = found
    if not others:
        return first
    kept = set(from_json(first)).intersection(*map(from_json, others))
    return to_json(list(kept))


def _tags(tags: list[str]) -> dict[str, Any]:
    keys = sorted({folding.fold(tag) for tag in tags})
    return {
        "tag_count": len(keys),
        **{f"tag_{n + 1}": keys[n] if n < len(keys) else None for n in range(8)},
    }
