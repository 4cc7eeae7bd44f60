"""The same library on both engines answers the same: some thousand random searches, lists and
figures, compared whole; and what a list or search of an account reads on PostgreSQL is its own,
among tens of thousands of others', in the plans that its statements get."""

from __future__ import annotations

import random
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode

import psycopg
import pytest
from conftest import CHEAP, Person
from flask import Flask
from instances import new_database, pg_settings, server

from seidra import create_app, folding
from seidra.config import Settings
from seidra.database import move
from seidra.database.migrate import apply_migrations
from seidra.database.postgresql.connect import Connection
from seidra.database.postgresql.connect import open_connection as open_pg
from seidra.database.sqlite.connect import open_connection
from seidra.personas import search, trigrams
from seidra.values import timestamp, to_json
from seidra.web.services import services_of

__all__ = ["pg_settings", "server"]
"""The fixtures."""

pytestmark = pytest.mark.slow

REQUESTS = 2_400
SEED = 17
PERSONAS = {"alice": 1_500, "bob": 900, "carol": 600}
"""Whose, and how many; of jobs and media as many."""

_SAMPLE = (
    "portrait light ocean moon maine retina painted aine ve e zeppelin "
    "Élodie straße STRAẞE ΣΊΣΥΦΟΣ Ёлка İstanbul ISTANBUL ıslak Łódź Ærø œuvre ﬁne ＦＵＬＬ z\u0301 "
    "مُحَمَّد שָׁלוֹם हिन्दी क़लम ｶﾞﾗｽ がぎ 한국 \u1112\u1161\u11ab ที่ 東京タワー 漢字 "
    "👩\u200d🎨 🌊🎈 🏳️\u200d🌈 100% 50%off % _ a_b ___ %_% back\\slash \\ \\\\ \\% \\_ "
    "\"q\" ' it's '' '; -- -- DROP {brace} [x] (p) $1 :word ?1 ? %s %(x)s * ^c a:b ~ `t` "
    "\x01 \x1f\x7f x\x0by \x85 NULL null 1 12 007 3.14 1e9 \\N \\. \u00ad \u200b\u2060 "
    "😀 \U0001f9d1\U0001f3fd zw\u200dj é e\u0301 ø o/ ~tilde Ω ω K \u212b \ufb03 \ufffd \U0010ffff"
)
WORDS = _SAMPLE.split(" ")

TAGS = [word for word in WORDS if folding.fold(word)][:40]
MODELS = ("sdxl-base", "SDXL-Base", "flux%", "modèle_1", "")
LORAS = ("film-grain", "Film-Grain", "ink_wash", "100%")
STATUSES = ("queued", "completed", "failed", "cancelled")
SORTS = ("-created_at", "created_at", "-updated_at", "updated_at", "-name", "name")

_OF_THE_MOMENT = re.compile(r"\?user=[^\"]*|\"request_id\":\"\w+\"")
"""What a signed link ends in (when it expires, and the signature), and a problem's number."""


@dataclass(frozen=True)
class Both:
    """One library on both engines, and the tokens that are good on both."""

    sqlite: Flask
    postgresql: Flask
    headers: dict[str, dict[str, str]]
    ids: dict[str, int]

    def answer(self, app: Flask, name: str, path: str) -> tuple[int, str, str | None]:
        """The status, the body without what says the time, and the total."""
        answer = app.test_client().get(path, headers=self.headers[name])
        return (
            answer.status_code,
            _OF_THE_MOMENT.sub("", answer.get_data(as_text=True)),
            answer.headers.get("X-Total-Count"),
        )


def text(rng: random.Random, most: int) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(1, most)))


def fill(connection: Any, owner: int, count: int, first: int) -> None:
    """Write personas, jobs and media of an owner as the app writes them; many at the same time, so
    that only their ids say their order."""
    rng = random.Random(owner)
    began = datetime(2025, 1, 1)

    def put(table: str, **row: Any) -> None:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))

    for n in range(count):
        id = first + n
        made, changed = (timestamp(began + timedelta(days=rng.randint(0, 90))) for _ in "12")
        shared = "shared" if rng.random() < 0.15 else "private"
        own = {
            "user_id": owner,
            "is_nsfw": int(rng.random() < 0.15),
            "created_at": made,
            "updated_at": changed,
        }
        tags = sorted(set(rng.choices(TAGS, k=rng.choice((0, 0, 1, 2, 4)))))
        keys = sorted({folding.fold(tag) for tag in tags})
        favorite = int(rng.random() < 0.2)
        persona = {
            "name": text(rng, 4)[:100] or "x",
            "description": text(rng, 6),
            "style_prompt": text(rng, 12) + ".",
            "tags": tags,
        }
        put(
            "personas",
            id=id,
            uid=str(uuid.UUID(int=id)),
            **persona | {"tags": to_json(tags)},
            name_key=folding.sort_key(persona["name"]),
            is_favorite=favorite,
            visibility=shared,
            **own,
        )
        put(
            "persona_texts",
            doc_id=(owner << 32) | id,
            safety="nsf" if own["is_nsfw"] else "sfw",
            favor="fav" if favorite else "oth",
            search_text=search.search_text(persona),
        )
        for key in keys:
            put("persona_tags", user_id=owner, tag_key=key, persona_id=id)
        job_id, media_id = (str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(2))
        status, prompt, model = rng.choice(STATUSES), text(rng, 10), rng.choice(MODELS)
        of = first + rng.randrange(n + 1)
        put(
            "generation_jobs",
            id=job_id,
            persona_id=of,
            job_type=rng.choice(("generation", "persona_preview")),
            status=status,
            progress=rng.random(),
            prompt=prompt,
            model_name=model,
            engine=rng.choice(("mock", "Mock", "other")),
            run_after=made,
            seconds=rng.choice((None, rng.random() * 100, 0.1, 3.0)),
            search_text=folding.document([prompt]),
            completed_at=None if status == "queued" else changed,
            **own,
        )
        put(
            "media_items",
            id=media_id,
            job_id=job_id,
            persona_id=of,
            file_type="image",
            mime_type="image/png",
            width=rng.randint(1, 2000),
            height=rng.randint(1, 2000),
            file_size=rng.randrange(2**33),
            metadata=to_json({"prompt": prompt, "seed": n}),
            tags=to_json(tags),
            is_favorite=favorite,
            visibility=shared,
            with_details=rng.randint(0, 1),
            model=model or None,
            search_text=folding.document([prompt, *tags]),
            **own,
        )
        for key in keys:
            put("media_tags", user_id=owner, tag_key=key, media_id=media_id)
        for lora in sorted(set(rng.choices(LORAS, k=rng.choice((0, 1, 2))))):
            put("media_loras", user_id=owner, name=lora, media_id=media_id)


@pytest.fixture(scope="module")
def both(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("both")
    secret = "0123456789abcdef0123456789abcdef"
    here = Settings.load(
        {
            **CHEAP,
            "SEIDRA_DATABASE_URL": f"sqlite:////{str(folder / 'seidra.db').lstrip('/')}",
            "SEIDRA_DATA_DIR": str(folder),
            "SEIDRA_JWT_SECRET": secret,
            # All of it may take long on a machine that has much to do.
            "SEIDRA_ACCESS_TOKEN_SECONDS": "86400",
        }
    )
    sqlite = create_app(here)
    Person(sqlite, "admin")
    people = {name: Person(sqlite, name) for name in PERSONAS}
    for person in people.values():
        person.allow_nsfw()
    first = 1
    with closing(open_connection(here.database_path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for name, count in PERSONAS.items():
            fill(connection, people[name].id, count, first)
            first += count
        connection.execute("COMMIT")
    with new_database(server) as url:
        there = here.with_url(url)
        apply_migrations(there)
        assert move.copy_rows(here, there) > 3 * sum(PERSONAS.values())
        postgresql = create_app(there)
        yield Both(
            sqlite,
            postgresql,
            {name: person.headers for name, person in people.items()},
            {name: person.id for name, person in people.items()},
        )
        for app in (sqlite, postgresql):
            services_of(app).database.close()


def search_word(rng: random.Random) -> str:
    """Whole words, their parts, phrases, and marks."""
    word = text(rng, 3)
    kind = rng.random()
    if kind < 0.3:
        word = word.split(" ")[0]
    elif kind < 0.5:
        begin = rng.randrange(len(word))
        word = word[begin : begin + rng.randint(1, 5)]
    elif kind < 0.6:
        word = "".join(rng.choices("%_\\'\"-*()?:~$", k=rng.randint(1, 4)))
    return word[:100]


def random_request(rng: random.Random) -> str:
    """The path of a list or of figures, with some of its filters."""
    path = rng.choices(
        (
            *("/api/personas", "/api/personas/facets", "/api/media", "/api/media/facets"),
            *("/api/media/timeline", "/api/media/stats", "/api/jobs", "/api/jobs/stats"),
            "/api/tags",
        ),
        (50, 8, 22, 5, 5, 1, 16, 1, 1),
    )[0]
    asked: list[tuple[str, Any]] = []

    def maybe(share: float, name: str, *values: Any) -> None:
        if rng.random() < share:
            asked.append((name, rng.choice(values)))

    if path.endswith(("/stats", "/tags")):
        maybe(0.5, "include_nsfw", "true")
        return f"{path}?{urlencode(asked)}"
    is_list = not path.endswith(("/facets", "/timeline"))
    maybe(0.6, "search", search_word(rng))
    maybe(0.4, "include_nsfw", "true")
    if is_list:
        maybe(0.6, "limit", 1, 7, 20, 100)
        maybe(0.4, "offset", 0, 1, 5, 50, 400, 5000, 2**62)
    if path.startswith("/api/personas"):
        maybe(0.4, "scope", "mine", "shared", "all")
        maybe(0.3, "is_favorite", "true", "false")
        maybe(0.1, "untagged", "true")
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            asked.append(("tag", rng.choice(TAGS)))
        if is_list:
            maybe(0.7, "sort", *SORTS)
            maybe(0.2, "fields", "card")
    elif path.startswith("/api/media"):
        if not path.endswith("/timeline"):
            maybe(0.4, "scope", "mine", "shared", "all")
        maybe(0.25, "favorites_only", "true")
        maybe(0.2, "model", *filter(None, MODELS), "sdxl")
        maybe(0.15, "lora", *LORAS, "film")
        maybe(0.15, "persona_id", rng.randint(1, 3_200))
        maybe(0.2, "date_from", "2025-01-20", "2025-03-01T12:00:00Z")
        maybe(0.2, "date_to", "2025-02-11", "2025-03-02T00:00:00Z")
        maybe(0.3, "tz", "Asia/Kathmandu", "America/New_York")
        for _ in range(rng.choice((0, 0, 0, 1, 3))):
            asked.append(("tag", rng.choice(TAGS)))
        if is_list:
            maybe(0.4, "sort", "created_at", "-created_at")
        if path.endswith("/timeline"):
            maybe(0.5, "by", "day")
    else:
        for _ in range(rng.choice((0, 0, 1, 2))):
            asked.append(("status", rng.choice(STATUSES)))
        maybe(0.1, "active", "true")
        maybe(0.2, "job_type", "generation", "persona_preview", "Generation")
        maybe(0.2, "engine", "mock", "Mock", "none")
        maybe(0.15, "persona_id", rng.randint(1, 3_200))
        maybe(0.4, "sort", "created_at", "-created_at")
    return f"{path}?{urlencode(asked)}"


def test_random_requests_are_answered_alike(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that alice's texts are looked up by the index, and her found ids along an order's.
    monkeypatch.setattr(trigrams, "MANY", 1_000)
    monkeypatch.setattr(search, "_FEW", 200)
    rng = random.Random(SEED)
    different, statuses, found = [], Counter[int](), Counter[str]()
    for _ in range(REQUESTS):
        name, path = rng.choice(tuple(PERSONAS)), random_request(rng)
        ours = both.answer(both.sqlite, name, path)
        theirs = both.answer(both.postgresql, name, path)
        if ours != theirs:
            different.append((name, path, ours, theirs))
        statuses[ours[0]] += 1
        found[path.partition("?")[0]] += ours[2] not in (None, "0")
    assert not different, "\n".join(map(str, different[:5]))
    # What is compared has something in it.
    assert statuses[200] > REQUESTS * 0.9, statuses
    for listed in ("/api/personas", "/api/media", "/api/jobs"):
        assert found[listed] > REQUESTS / 20, found


@pytest.mark.parametrize("scope", ["mine", "all", "shared"])
def test_what_one_after_another_pages_give_is_alike(both: Both, scope: str) -> None:
    for path in ("/api/personas?sort=name&", "/api/media?"):
        for offset in range(0, 3_000, 100):
            asked = f"{path}scope={scope}&limit=100&offset={offset}&include_nsfw=true"
            assert both.answer(both.sqlite, "bob", asked) == both.answer(
                both.postgresql, "bob", asked
            ), asked


# ------------------------------------------------------------------------------ whose rows are read

OTHERS = 30_000
"""Rows of two hundred other accounts in each table, private ones."""

LARGE = (
    *("personas", "persona_texts", "persona_tags", "generation_jobs"),
    *("media_items", "media_tags", "media_loras"),
)
"""What an account's lists must not read whole."""

_OF_OTHERS = """
INSERT INTO users (id, username, username_key, email, email_key, settings, created_at, updated_at)
SELECT n, 'other' || n, 'other' || n, n || '@x.org', n || '@x.org', '{}', '', ''
FROM GENERATE_SERIES(900, 1099) AS n;
INSERT INTO personas (id, uid, user_id, name, name_key, style_prompt, created_at, updated_at)
SELECT 100000 + n, 'other' || n, 900 + n % 200, 'Maine ' || n, 'maine ' || n, 'portrait light тест',
    '2025-01-0' || (1 + n % 9) || 'T00:00:00.000000Z', '2025-01-05T00:00:00.000000Z'
FROM GENERATE_SERIES(1, :others) AS n;
INSERT INTO persona_texts (persona_id, user_id, is_nsfw, is_favorite, search_text)
SELECT id, user_id, FALSE, FALSE, name_key || ' portrait light retina painted тест ve'
FROM personas WHERE user_id >= 900;
INSERT INTO persona_tags (user_id, tag_key, persona_id)
SELECT user_id, 'ocean', id FROM personas WHERE user_id >= 900;
INSERT INTO generation_jobs (id, user_id, job_type, status, prompt, model_name, run_after,
    search_text, created_at, updated_at, completed_at)
SELECT uid, user_id, 'generation', 'completed', 'portrait', 'sdxl-base', '', 'portrait light',
    created_at, updated_at, updated_at FROM personas WHERE user_id >= 900;
INSERT INTO media_items (id, user_id, file_type, mime_type, width, height, file_size, metadata,
    search_text, created_at, updated_at, job_id, persona_id, model)
SELECT uid, user_id, 'image', 'image/png', 1, 1, 1, '{}', 'portrait light', created_at, updated_at,
    uid, id, 'sdxl-base' FROM personas WHERE user_id >= 900;
INSERT INTO media_tags (user_id, tag_key, media_id)
SELECT user_id, 'ocean', id FROM media_items WHERE user_id >= 900;
INSERT INTO media_loras (user_id, name, media_id)
SELECT user_id, 'film-grain', id FROM media_items WHERE user_id >= 900;
"""


@pytest.fixture(scope="module")
def crowded(both: Both) -> Iterator[Both]:
    """The same with much of other accounts', and what the server knows of it for its plans."""
    database = services_of(both.postgresql).database
    database.fold_counters()
    with psycopg.connect(cast(Any, database).url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(_OF_OTHERS.replace(":others", str(OTHERS)))
        connection.execute("VACUUM ANALYZE")
    yield both
    with psycopg.connect(cast(Any, database).url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for table in (*LARGE, "users"):
            key = "id" if table == "users" else "user_id"
            connection.execute(f"DELETE FROM {table} WHERE {key} >= 900")


@dataclass
class Asked:
    """A statement that the app asks, and whether it is planned for its values."""

    sql: str
    values: Any
    custom: bool


def asked_by(both: Both, path: str, monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """The statements of a request of alice's."""
    asked: list[Asked] = []
    execute = Connection.execute
    custom = False

    def listen(self: Any, sql: Any, values: Any = None, **more: Any) -> Any:
        nonlocal custom
        text = sql.decode() if isinstance(sql, bytes) else sql
        if text.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            custom = False
        elif "force_custom_plan" in text:
            custom = True
        else:
            asked.append(Asked(text, values, custom))
        return execute(self, sql, values, **more)

    with monkeypatch.context() as listening:
        listening.setattr(Connection, "execute", listen)
        status, body, _ = both.answer(both.postgresql, "alice", path)
        assert status == 200, body
    return asked


def plans_of(connection: Any, asked: Asked) -> list[dict[str, Any]]:
    """The steps of the plan that such a statement gets once it is prepared, as it went."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    sql = re.sub(r"%%|%\((\w+)\)s", number, asked.sql)
    given = [asked.values[name] for name in names] if names else []
    types = [
        {bool: "BOOLEAN", int: "BIGINT", list: "TEXT[]", float: "FLOAT8"}.get(
            type(value), "unknown"
        )
        for value in given
    ]
    mode = "force_custom_plan" if asked.custom else "force_generic_plan"
    connection.execute(f"SET plan_cache_mode = {mode}".encode(), prepare=False)
    head = f"PREPARE one ({', '.join(types)}) AS " if types else "PREPARE one AS "
    connection.execute((head + sql).encode(), prepare=False)
    literals = ", ".join(psycopg.sql.Literal(value).as_string(connection) for value in given)
    explain = (
        f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE one{f'({literals})' if types else ''}"
    )
    try:
        (found,) = connection.execute(explain.encode(), prepare=False).fetchone()
    finally:
        connection.execute(b"DEALLOCATE one", prepare=False)
    steps, left = [], [found[0]["Plan"]]
    while left:
        steps.append(left.pop())
        left += steps[-1].get("Plans", [])
    return steps


def rows_read(step: dict[str, Any]) -> float:
    """How many rows a step has looked at."""
    looked = sum(
        step.get(name, 0)
        for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    )
    return float(looked * step["Actual Loops"])


FILTERS = (
    *("", "sort=-name", "sort=updated_at&offset=1000", "is_favorite=true", "is_favorite=false"),
    *("tag=ocean", "tag=ocean&tag=moon", "untagged=true", "search=portrait", "search=ve"),
    *("search=%D1%82%D0%B5%D1%81%D1%82", "search=%25", "search=!!!", "search=portrait+light"),
    *("search=aine&sort=name", "search=e&tag=ocean", "search=%E6%9D%B1%E4%BA%AC"),
    *("scope=shared", "scope=shared&search=light", "scope=all", "scope=all&search=portrait"),
)
MEDIA_FILTERS = (
    *("", "favorites_only=true", "search=portrait", "search=ve", "tag=ocean", "model=sdxl-base"),
    *("lora=film-grain", "persona_id=5", "date_from=2025-02-01&search=light", "scope=shared"),
    *("scope=all", "scope=all&search=portrait", "offset=1000", "sort=created_at"),
)
JOB_FILTERS = (
    *("", "status=completed", "active=true", "search=portrait", "persona_id=5", "engine=mock"),
    *("job_type=generation", "sort=created_at&offset=500", "status=failed&search=ve"),
)
PATHS = (
    *(f"/api/personas?include_nsfw=true&{each}" for each in FILTERS),
    *(f"/api/personas/facets?{each}" for each in FILTERS if "sort" not in each),
    *(f"/api/media?{each}" for each in MEDIA_FILTERS),
    *("/api/media/facets?search=portrait", "/api/media/timeline?tag=ocean", "/api/media/timeline"),
    *("/api/media/stats", "/api/jobs/stats", "/api/tags"),
    *(f"/api/jobs?{each}" for each in JOB_FILTERS),
)


_BY_INDEX = "AND search_text LIKE %(word_1)s"
"""What is asked where the index of trigrams may help."""


@pytest.mark.parametrize("many", [0, 10**9], ids=["index", "scan"])
def test_lists_and_searches_read_the_rows_of_their_account(
    crowded: Both, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(trigrams, "MANY", many)
    paths = PATHS if many else [path for path in PATHS if "search=" in path]
    bound = 2 * (PERSONAS["alice"] + (PERSONAS["bob"] + PERSONAS["carol"]) // 4)
    wrong, by_index = [], 0
    with closing(open_pg(cast(Any, services_of(crowded.postgresql).database).url)) as connection:
        connection.execute("BEGIN", {})
        for path in paths:
            for asked in asked_by(crowded, path, monkeypatch):
                by_index += _BY_INDEX in asked.sql
                for step in plans_of(connection, asked):
                    if step.get("Relation Name") not in LARGE:
                        continue
                    if step["Node Type"] == "Seq Scan" or rows_read(step) > bound:
                        read = f"{rows_read(step):.0f} rows of {step['Relation Name']}"
                        wrong.append(f"{path}: {step['Node Type']}, {read}: {asked.sql}")
        connection.execute("ROLLBACK", {})
    assert not wrong, "\n\n".join(wrong)
    assert (by_index > 0) == (many == 0)


@pytest.mark.parametrize("path", ["/api/media?tag=ocean", "/api/media?lora=film-grain"])
def test_media_by_tag_or_lora_are_read_of_their_account_where_few_are(
    both: Both, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    database = services_of(both.postgresql).database
    database.fold_counters()
    with psycopg.connect(cast(Any, database).url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    with closing(open_pg(cast(Any, database).url)) as connection:
        connection.execute("BEGIN", {})
        steps = [
            step
            for asked in asked_by(both, path, monkeypatch)
            for step in plans_of(connection, asked)
            if step.get("Relation Name") == "media_items"
        ]
        connection.execute("ROLLBACK", {})
    assert any(rows_read(step) for step in steps)
    assert max(rows_read(step) for step in steps) <= PERSONAS["alice"]
    assert all(step["Node Type"] != "Seq Scan" for step in steps)


def test_a_word_that_the_index_cannot_see_is_not_looked_for_in_it(
    crowded: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigrams, "MANY", 0)
    with closing(open_pg(cast(Any, services_of(crowded.postgresql).database).url)) as connection:
        connection.execute("BEGIN", {})
        for word, by_index in {"ve": 0, "!!!": 0, "%25": 0, "_a_": 0, "e": 0, "mai": 1}.items():
            path = f"/api/personas?search={word}"
            steps = [
                step
                for asked in asked_by(crowded, path, monkeypatch)
                for step in plans_of(connection, asked)
            ]
            used = [s for s in steps if s.get("Index Name") == "persona_texts_search"]
            assert by_index or not used, word
            assert all("user_id = " in step["Index Cond"] for step in used), word
        connection.execute("ROLLBACK", {})


def test_a_page_takes_as_many_statements_as_a_card(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/api/personas?", "/api/personas?search=e&", "/api/media?", "/api/jobs?"):
        one = asked_by(both, f"{path}limit=1", monkeypatch)
        many = asked_by(both, f"{path}limit=100", monkeypatch)
        assert len(one) == len(many) <= 8, path


def test_what_a_connection_is_set_to_holds(both: Both) -> None:
    with closing(open_pg(cast(Any, services_of(both.postgresql).database).url)) as connection:
        # A number is BIGINT whatever its size: else the index over owners and texts is not used.
        for number in (1, 40_000, 2**40):
            sql = "SELECT CAST(PG_TYPEOF(%(n)s) AS TEXT)"
            assert connection.execute(sql, {"n": number}).fetchone()[0] == "bigint"
        # A sum of BIGINT is NUMERIC to the server, which JSON has no number for.
        found = connection.execute("SELECT SUM(n), SUM(n) / 2.0 FROM persona_counts", {}).fetchone()
        assert [type(value) for value in found] == [int, float]
        # A statement that is asked again is planned once, also with LIMIT as a parameter.
        sql = "SELECT id FROM personas WHERE user_id = %(user_id)s LIMIT %(limit)s"
        for limit in range(1, 9):
            connection.execute(sql, {"user_id": 1, "limit": limit})
        plans = connection.execute(
            "SELECT generic_plans, custom_plans FROM pg_prepared_statements"
            " WHERE statement LIKE 'SELECT id FROM personas%%'",
            {},
        ).fetchall()
        assert [tuple(row) for row in plans] == [(7, 0)]
        # Several processes for one page: a generic plan sorts all of an account's for it.
        shown = connection.execute("SHOW max_parallel_workers_per_gather", {}).fetchone()
        assert shown[0] == "0"
        # '~' is behind every digit only where texts compare by their bytes.
        other = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'text'"
            " AND collation_name IS DISTINCT FROM 'C'"
            " AND table_name NOT LIKE '%%yoyo%%' AND table_name IN"
            " (SELECT tablename FROM pg_tables WHERE schemaname = 'public')",
            {},
        ).fetchall()
        assert other == []
        # Trigrams have letters of all scripts.
        assert connection.execute("SELECT CARDINALITY(SHOW_TRGM('тест'))", {}).fetchone()[0] > 3
