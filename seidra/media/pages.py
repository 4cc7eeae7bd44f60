"""Pages of a user's media, how many there are in all, and in which months or days."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal

from seidra import folding
from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.values import parse_timestamp, timestamp, to_json
from seidra.web.fields import page_reach

_FILTERS = ("persona_id", "job_id", "collection", "model", "lora")
"""Filters that are None where they are not asked for."""

_Which = Literal["safe", "all", "favorites", "model"]

_LATER = "~"
"""What comes after every timestamp."""


def media_page(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> tuple[list[Row], int]:
    """The rows that a query (as MediaQuery loads it) asks for of a user's own media, and how many
    match it."""
    which = _read_along(nsfw, query)
    if which is None:
        return _matching_page(connection, user_id, nsfw, query)
    rows = queries.media.page(
        connection,
        which=which,
        order=query["sort"],
        user_id=user_id,
        nsfw=nsfw,
        model=query["model"],
        limit=query["limit"],
        offset=query["offset"],
    )
    if which == "model":
        return rows, _count_between(connection, which, user_id, nsfw, query, "", _LATER)
    counts = required_row(queries.media.counts(connection, user_id=user_id, nsfw=nsfw))
    return rows, counts["favorites" if which == "favorites" else "total"]


def seen_page(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> tuple[list[Row], int]:
    """The same of what others share, or of that and the user's own: `scope` is not mine."""
    scope = query["scope"]
    if query["favorites_only"] or is_filtered(query):
        found = seen_matching(connection, user_id, nsfw, query)
        ids = [row["id"] for row in found]
        if query["sort"] == "created_at":
            ids.reverse()
        page = ids[query["offset"] : query["offset"] + query["limit"]]
        rows = queries.search.shared_media_page(connection, ids=to_json(page), user_id=user_id)
        return rows, len(ids)
    asked: dict[str, Any] = {
        "order": query["sort"],
        "user_id": user_id,
        "nsfw": nsfw,
        "limit": query["limit"],
        "offset": query["offset"],
    }
    if scope == "shared":
        rows = queries.shared_media.page(connection, **asked)
    else:
        rows = queries.shared_media.both(connection, **asked, reach=page_reach(query))
    return rows, seen_counts(connection, user_id, nsfw, scope)["total"]


def seen_matching(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> list[Row]:
    """The rows (id, search text, created_at, ...) of all that such a query matches, newest first.
    Favourites, personas and jobs are one's own alone; in a collection that is shared its pictures
    are given, private ones too."""
    mine: list[Row] = []
    if query["scope"] == "all":
        mine = _matching_rows(connection, user_id, nsfw, query)
    if query["favorites_only"] or query["persona_id"] is not None or query["job_id"] is not None:
        return mine
    words = folding.words(query.get("search", "")) or [""]
    tags = sorted({folding.fold(tag) for tag in query["tag"]})
    asked = {name: query[name] for name in ("date_from", "date_to", "collection", "model", "lora")}
    asked |= {f"tag_{n + 1}": tags[n] if n < len(tags) else None for n in range(8)}
    # When a picture was made, and that it is in a collection, is shown in any case.
    asked["looks_inside"] = is_filtered(
        {**query, "date_from": "", "date_to": _LATER, "collection": None}
    )

    def matching(word: str, texts: bool) -> list[Row]:
        return queries.shared_media.matching(
            connection,
            of="each" if query["collection"] is None else "collection",
            **asked,
            user_id=user_id,
            nsfw=nsfw,
            pattern=folding.like(word),
            texts=texts,
        )

    found = [*mine, *folding.matching_all(words, matching)]
    return sorted(found, key=lambda row: (row["created_at"], row["id"]), reverse=True)


def seen_counts(connection: Connection, user_id: int, nsfw: bool, scope: str) -> dict[str, int]:
    """How many media others share one by one, with the user's own where these are asked for too:
    {total, favorites, nsfw, images, videos, bytes}."""
    shared = required_row(queries.shared_media.counts(connection, user_id=user_id, nsfw=nsfw))
    counts = {"total": shared["total"], "nsfw": shared["nsfw"], "bytes": shared["bytes"]}
    counts |= {"favorites": 0, "images": shared["total"], "videos": 0}
    if scope == "all":
        mine = required_row(queries.media.counts(connection, user_id=user_id, nsfw=nsfw))
        counts = {name: n + mine[name] for name, n in counts.items()}
    return counts


def is_filtered(query: Mapping[str, Any]) -> bool:
    """Whether what a MediaQuery asks for is not all, or all favourites."""
    filtered = "search" in query or any(query[name] is not None for name in _FILTERS)
    return bool(filtered or query["tag"] or query["date_from"] or query["date_to"] != _LATER)


def _read_along(nsfw: bool, query: Mapping[str, Any]) -> _Which | None:
    """The index along which what a MediaQuery asks for is read, or None where it has to be
    found."""
    if is_filtered({**query, "model": None}):
        return None
    if query["model"] is not None:
        return None if query["favorites_only"] else "model"
    return "favorites" if query["favorites_only"] else "all" if nsfw else "safe"


def _count_between(
    connection: Connection,
    which: _Which,
    user_id: int,
    nsfw: bool,
    query: Mapping[str, Any],
    since: str,
    before: str,
) -> int:
    count: int = queries.media.count_between(
        connection,
        which=which,
        user_id=user_id,
        nsfw=nsfw,
        model=query["model"],
        since=since,
        before=before,
    )
    return count


def _matching_page(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> tuple[list[Row], int]:
    """A page of what filters match: all matching ids once, for page and total both."""
    ids = matching_items(connection, user_id, nsfw, query)
    if query["sort"] == "created_at":
        ids.reverse()
    page = ids[query["offset"] : query["offset"] + query["limit"]]
    rows = queries.search.media_page(connection, ids=to_json(page), user_id=user_id)
    return rows, len(ids)


def matching_items(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> list[str]:
    """The ids of all that the filters of a MediaQuery match, newest first."""
    return [row[0] for row in _matching_rows(connection, user_id, nsfw, query)]


def _matching_rows(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> list[Row]:
    words = folding.words(query.get("search", "")) or [""]
    tags = sorted({folding.fold(tag) for tag in query["tag"]})
    filters = {name: query[name] for name in ("date_from", "date_to", "favorites_only", *_FILTERS)}
    filters |= {"user_id": user_id, "nsfw": nsfw}
    filters |= {f"tag_{n + 1}": tags[n] if n < len(tags) else None for n in range(8)}

    def matching(word: str, texts: bool) -> list[Row]:
        return queries.media.matching(
            connection, by=_looked_up(query), **filters, pattern=folding.like(word), texts=texts
        )

    return folding.matching_all(words, matching)


def _looked_up(
    query: Mapping[str, Any],
) -> Literal["time", "persona", "model", "job", "collection", "lora", "tag"]:
    """The filter that leaves the fewest, as far as one can know."""
    if query["job_id"] is not None:
        return "job"
    if query["persona_id"] is not None:
        return "persona"
    if query["collection"] is not None:
        return "collection"
    if query["tag"]:
        return "tag"
    if query["lora"] is not None:
        return "lora"
    return "time" if query["model"] is None else "model"


def media_timeline(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """How many items of those that a TimelineQuery matches were made in each month or day that has
    some, the newest first. In one snapshot."""
    which = _read_along(nsfw, query)
    if which is None:
        rows = _matching_rows(connection, user_id, nsfw, query)
        moments = [row["created_at"] for row in reversed(rows)]

        def newest_before(before: str) -> str | None:
            at = bisect_left(moments, before)
            return moments[at - 1] if at else None

        def count_between(since: str, before: str) -> int:
            return bisect_left(moments, before) - bisect_left(moments, since)

    else:

        def newest_before(before: str) -> str | None:
            found: str | None = queries.media.newest_before(
                connection,
                which=which,
                user_id=user_id,
                nsfw=nsfw,
                model=query["model"],
                before=before,
            )
            return found

        def count_between(since: str, before: str) -> int:
            return _count_between(connection, which, user_id, nsfw, query, since, before)

    return _timeline(newest_before, count_between, query["by"], query["tz"])


def _timeline(
    newest_before: Callable[[str], str | None],
    count_between: Callable[[str, str], int],
    by: Literal["month", "day"],
    zone: tzinfo,
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before = _LATER
    while (newest := newest_before(before)) is not None:
        local = parse_timestamp(newest).astimezone(zone)
        first = datetime(local.year, local.month, 1 if by == "month" else local.day, tzinfo=zone)
        since = timestamp(first)
        found.append(
            {
                "month": f"{local:%Y-%m}",
                "day": f"{local:%Y-%m-%d}" if by == "day" else None,
                "count": count_between(since, before),
            }
        )
        before = since
    return found


def media_spread(
    connection: Connection, user_id: int, nsfw: bool, scope: str = "mine"
) -> dict[str, Any]:
    """How a user's media are spread over personas, of the hundred with the most, and over the last
    thirty days, in UTC; a name that several personas have counts for them together. With what
    others share, or that alone, by `scope`: whose persona made it is not told."""
    now = datetime.now(UTC)
    first, recent = (f"{now - timedelta(days=days):%Y-%m-%d}" for days in (29, 6))
    asked: dict[str, Any] = {"user_id": user_id, "nsfw": nsfw}
    rows = [] if scope == "shared" else queries.media.by_date(connection, **asked, since=first)
    if scope != "mine":
        rows += queries.shared_media.by_date(connection, **asked, since=first)
    by_date: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: str(row["day"])):
        by_date[row["day"]] = by_date.get(row["day"], 0) + row["n"]
    by_persona: dict[str, int] = {}
    for row in [] if scope == "shared" else queries.media.by_persona(connection, **asked):
        if row["n"]:
            by_persona[row["name"]] = by_persona.get(row["name"], 0) + row["n"]
    return {
        "recent_count": sum(n for day, n in by_date.items() if day >= recent),
        "by_persona": by_persona,
        "by_date": by_date,
    }
