"""Search: what text folds to, and that HTTP finds what a plain filter over the same texts finds."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ENGINE, Person, copy_instance, segments
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import open_rows, told
from werkzeug.test import TestResponse

from seidra import create_app, folding
from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.personas import search as persona_search
from seidra.personas.schemas import PersonaQuery
from seidra.start.search_texts import check_texts, rebuild_texts
from seidra.web.services import services_of


def found(person: Person, text: str, **query: Any) -> list[str]:
    """The names that a search lists, in order of their making; the total agrees."""
    answer = answered(person, text, **query)
    listed = [persona["name"] for persona in answer.get_json()]
    assert answer.headers["X-Total-Count"] == str(len(listed))
    return listed


def answered(person: Person, text: str, **query: Any) -> TestResponse:
    answer = person.get(
        "/api/personas", query_string={"search": text, "sort": "created_at", "limit": 100, **query}
    )
    assert answer.status_code == 200, answer.text
    return answer


# ------------------------------------------------------------------------------------------ folding


def test_names_sort_by_their_numbers(alice: Person) -> None:
    names = ["Luna", "Luna 1", "Luna 01", "luna 2", "Łuna ٣", "Luna 10", "Luna 10 a", "Luna 10 b2"]
    names += ["Luna 10 b10", "Luna " + "9" * 90, "Luna 1" + "0" * 90, "Luna a"]
    for name in reversed(names):
        alice.persona(name=name)
    listed = [p["name"] for p in alice.get("/api/personas?sort=name&limit=100").get_json()]
    assert [folding.sort_key(name) for name in listed] == [folding.sort_key(name) for name in names]
    assert [name for name in listed if "01" not in name] == [n for n in names if "01" not in n]
    down = alice.get("/api/personas?sort=-name&limit=100").get_json()
    assert [persona["name"] for persona in down] == listed[::-1]


@given(st.text(max_size=100))
def test_a_sort_key_has_a_bounded_length(text: str) -> None:
    assert len(folding.sort_key(text)) <= 400
    assert len(folding.sort_key("ﷺ" * 100 + text)) <= 400


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Élodie À Ñandú Ångström", "elodie a nandu angstrom"),
        ("E\u0301lodie", "elodie"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("Σίσυφος", "σισυφοσ"),
        ("Ёлка", "елка"),
        ("ÜBERMÄSSIG", "ubermassig"),
        ("Straße", "strasse"),
        ("STRAẞE", "strasse"),
        ("İstanbul", "istanbul"),
        ("ISTANBUL", "istanbul"),
        ("ıstanbul", "istanbul"),
        ("مُحَمَّد", "محمد"),
        ("שָׁלוֹם", "שלום"),
        ("हिन्दी", "हिन्दी"),
        ("ｶﾞﾗｽ", "ガラス"),
        ("が", "が"),
        ("か\u3099", "が"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("한국", "한국"),
        ("\u1112\u1161\u11ab국", "한국"),
        ("ที่", "ที่"),
        ("Łódź", "lodz"),
        ("Ærø", "aero"),
        ("œuvre", "oeuvre"),
        ("Þórður", "thordur"),
        ("ﬁne", "fine"),
        ("zero\u200bwidth soft\u00adhyphen", "zerowidth softhyphen"),
        (" a \t b\u00a0\u2003c\n", "a b c"),
        ("100% _x_ \\ \"q\" 'q' *", "100% _x_ \\ \"q\" 'q' *"),
        ("", ""),
    ],
)
def test_text_folds_without_case_and_accents(text: str, folded: str) -> None:
    assert folding.fold(text) == folded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("が", "か"),
        ("ガ", "が"),
        ("क़", "क"),
        ("ที่", "ที"),
        ("क्", "क"),
        ("कि", "क"),
        ("한", "하"),
        ("ö", "u"),
    ],
)
def test_marks_that_make_another_letter_stay(one: str, other: str) -> None:
    assert folding.fold(one) != folding.fold(other)


SCRIPTS = (
    "abcXYZ éÀñßŁøİıﬁ",
    "αΣςάΪᾳ",
    "ЁёйЩї",
    "אָשׁם",
    "مُحّد",
    "हिन्दीक़",
    "かがガｶﾞー",
    "한국ᄒ",
    "ที่ກໍ",
    "漢字",
    "👩‍🎨🌊",
    "%_\\\"'*^:(){}[]-+~ \t",
    "\u0301\u0345\u200d\u00ad\u3099",
)
letters = st.one_of(
    *(st.sampled_from(script) for script in SCRIPTS), st.characters(exclude_categories=["Cs"])
)
no_control = letters.filter(lambda c: not unicodedata.category(c).startswith(("Cc", "Zl", "Zp")))


@settings(max_examples=300, deadline=None)
@given(st.text(letters, max_size=30))
def test_folding_twice_is_folding_once(text: str) -> None:
    once = folding.fold(text)
    assert folding.fold(once) == once
    assert folding.fold(text.upper().lower()) == folding.fold(text.lower().upper())
    assert "\n" not in once


# ---------------------------------------------------------------------------------------- over HTTP


@pytest.mark.parametrize("field", ["name", "description", "style_prompt", "tags"])
def test_every_field_is_searched(alice: Person, field: str) -> None:
    text = "The Élodie of Łódź"
    alice.persona(**{"name": "hit", field: [text] if field == "tags" else text})
    alice.persona(
        name="miss", negative_prompt=text, lora_models=[text], generation_params={"own": text}
    )
    for query in ("elodie", "ÉLODIE", "lodz", "e of ł", "odie lod", "el", "Z"):
        assert len(found(alice, query)) == 1, query
        assert found(alice, query) != ["miss"]


PLAIN = [
    "100%",
    "a_b",
    "back\\slash",
    'say "hi"',
    "it's",
    "star*",
    "cats AND dogs",
    "x OR y",
    "NEAR(a b)",
    "(paren)",
    "-minus",
    "^caret",
    "a:b",
    "{brace}",
    "name:x",
    "semi;colon",
    "--",
    "'; DROP TABLE personas",
    "?1",
    ":word",
    "100 percent",
    "aXb",
    "not this",
]


def contains_all(text: str, query: str) -> bool:
    return all(word in text.lower() for word in query.lower().split())


def test_wildcards_quotes_and_operators_are_plain_characters(alice: Person) -> None:
    for name in PLAIN:
        alice.persona(name=name, style_prompt="s")
    queries_ = [
        *PLAIN,
        "%",
        "_",
        "\\",
        '"',
        "'",
        "*",
        "%%%",
        "___",
        "a_",
        "_b",
        '"""',
        "AND",
        "OR",
        "NEAR",
        "NOT",
        "NEAR(",
        "(",
        ")",
        "-",
        "^",
        "^ca",
        ":",
        "a:",
        "s*",
        "sta*",
        '"hi',
        'hi"',
        "\\s",
        "% _",
        "cats dogs",
        "dogs AND cats",
        "a* OR b",
        "{",
        ";",
        "()",
        '"" ""',
    ]
    for query in queries_:
        assert found(alice, query) == [
            name for name in PLAIN if contains_all(f"{name}\ns", query)
        ], query


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("m", ["Mara", "Tim", "Ümit"]),
        ("ar", ["Mara", "Ümit"]),
        ("ara", ["Mara"]),
        ("mara", ["Mara"]),
        ("blue mara", ["Mara"]),
        ("MARA Blue s", ["Mara"]),
        ("blue tim", []),
        ("mar ar", ["Mara"]),
        ("blue mist", ["Ümit"]),
        ("umit", ["Ümit"]),
        ("u", ["Mara", "Ümit"]),
        ("maratim", []),
        ("a b", ["Mara", "Ümit"]),
        ("漢", ["Tim"]),
        ("漢字", ["Tim"]),
        ("漢字の", ["Tim"]),
        ("字漢", []),
        ("🌊", ["Ümit"]),
    ],
)
def test_words_of_any_length_must_all_match_anywhere(
    alice: Person, query: str, names: list[str]
) -> None:
    alice.persona(name="Mara", description="blue", style_prompt="s")
    alice.persona(name="Tim", description="漢字の絵", style_prompt="s")
    alice.persona(name="Ümit", description="mist", style_prompt="🌊", tags=["blue", "ar"])
    assert found(alice, query) == names


def test_no_word_matches_across_two_fields(alice: Person) -> None:
    alice.persona(name="abc", description="def", style_prompt="ghi", tags=["jkl", "mno"])
    for query in ("cdef", "cd", "fghi", "fg", "ijkl", "klmn", "lm", "abcdef"):
        assert found(alice, query) == [], query
    for query in ("abc def", "c d", "abc mno"):
        assert found(alice, query) == ["abc"], query


def test_search_follows_every_change(alice: Person) -> None:
    made = alice.persona(name="first", tags=["old"])
    path = f"/api/personas/{made['id']}"
    alice.patch(path, json={"name": "second", "tags": ["new"]})
    assert [found(alice, word) for word in ("first", "old", "second", "new", "ne")] == [
        [],
        [],
        *[["second"]] * 3,
    ]
    alice.patch(path, json={"is_favorite": True})
    assert found(alice, "second") == ["second"]
    alice.post(f"{path}/duplicate", json={"name": "third"})
    assert found(alice, "new") == ["second", "third"]
    assert found(alice, "second") == ["second"]
    alice.delete(path)
    assert found(alice, "new") == found(alice, "third") == ["third"]
    assert found(alice, "second") == []


def test_nobody_finds_what_is_another_users(alice: Person, bob: Person) -> None:
    for n in range(3):
        alice.persona(name=f"alice {n}")
        bob.persona(name=f"bob {n}")
    for query in ("moonlit", "mo", "o", "bob"):
        assert {name[0] for name in found(alice, query)} <= {"a"}, query
        assert {name[0] for name in found(bob, query)} <= {"b"}, query
    assert len(found(bob, "moonlit")) == 3


def test_nsfw_personas_are_found_only_where_asked_for_and_in_force(alice: Person) -> None:
    alice.allow_nsfw()
    alice.persona(name="tame")
    alice.persona(name="wild", is_nsfw=True)
    for query in ("moonlit", "mo"):
        assert found(alice, query) == ["tame"]
        assert found(alice, query, include_nsfw="true") == ["tame", "wild"]
    alice.patch("/api/settings/nsfw", json={"enabled": False})
    assert found(alice, "moonlit", include_nsfw="true") == ["tame"]


# ----------------------------------------------------------------------------------- a plain filter


@pytest.fixture(scope="module")
def reader(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """Somebody on an instance that the examples of one property share."""
    folder = tmp_path_factory.mktemp("search") / "instance"
    app = create_app(copy_instance(template, folder))
    person = Person(app, "reader")
    person.allow_nsfw()
    other = Person(app, "other")
    for script in SCRIPTS:
        other.persona(name="other", description=script.strip())
    yield person
    services_of(app).database.close()


def some_text(low: int, high: int) -> st.SearchStrategy[str]:
    return (
        st.text(no_control, min_size=low, max_size=high)
        .map(str.strip)
        .filter(lambda text: len(text) >= low and not (low and folding.is_blank(text)))
    )


personas = st.lists(
    st.fixed_dictionaries(
        {
            "name": some_text(1, 12),
            "description": some_text(0, 12),
            "style_prompt": some_text(1, 12),
            "tags": st.lists(some_text(1, 6), max_size=3),
            "is_favorite": st.booleans(),
            "is_nsfw": st.booleans(),
        }
    ),
    min_size=1,
    max_size=4,
)
KEYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "created_at": lambda p: (p["created_at"], p["id"]),
    "updated_at": lambda p: (p["updated_at"], p["id"]),
    "name": lambda p: (folding.fold(p["name"]).encode(), p["id"]),
}


def cut(data: st.DataObject, made: list[dict[str, Any]]) -> str:
    """A query: pieces of the texts, in any case."""
    texts = [
        text
        for p in made
        for text in (p["name"], p["description"], p["style_prompt"], *p["tags"])
        if text
    ]
    pieces = []
    for _ in range(data.draw(st.integers(1, 3))):
        text = data.draw(st.sampled_from(texts))
        start = data.draw(st.integers(0, len(text) - 1))
        piece = text[start : start + data.draw(st.integers(1, 8))]
        pieces.append(data.draw(st.sampled_from([piece, piece.upper(), piece.lower()])))
    return " ".join(pieces)[:100]


@pytest.mark.slow
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(personas, st.data())
def test_search_finds_what_a_plain_filter_finds(
    reader: Person, bodies: list[dict[str, Any]], data: Any
) -> None:
    made = [reader.persona(**body) for body in bodies]
    try:
        for _ in range(4):
            query = cut(data, made)
            if folding.is_blank(query):
                continue
            sort = data.draw(st.sampled_from([*KEYS, *(f"-{key}" for key in KEYS)]))
            nsfw, favorite = (
                data.draw(st.booleans()),
                data.draw(st.sampled_from([None, True, False])),
            )
            wanted = [
                p["id"]
                for p in sorted(made, key=KEYS[sort.strip("-")], reverse=sort.startswith("-"))
                if (nsfw or not p["is_nsfw"])
                and (favorite is None or p["is_favorite"] is favorite)
                and all(
                    any(
                        word in folding.fold(field)
                        for field in (p["name"], p["description"], p["style_prompt"], *p["tags"])
                    )
                    for word in folding.fold(query).split()
                )
            ]
            filters = {} if favorite is None else {"is_favorite": favorite}
            answer = reader.get(
                "/api/personas",
                query_string={
                    "search": query,
                    "sort": sort,
                    "include_nsfw": nsfw,
                    **filters,
                },
            )
            assert [p["id"] for p in answer.get_json()] == wanted, (query, sort, nsfw, favorite)
            assert answer.headers["X-Total-Count"] == str(len(wanted))
    finally:
        for persona in made:
            reader.delete(f"/api/personas/{persona['id']}")


# ---------------------------------------------------------------------------------------- the index


OWN = pytest.mark.sqlite_only("the index is SQLite's own")

DAMAGE = [
    "INSERT INTO persona_search (persona_search, rowid, marked_text)"
    " SELECT 'delete', doc_id, marked_text FROM persona_search_texts",
    "UPDATE persona_texts SET search_text = 'stella'",
    "DELETE FROM persona_texts",
    "UPDATE persona_texts SET doc_id = doc_id + 1000",
]


def index_anew(database: SqliteDatabase) -> int:
    """Make every text and the index again; returns how many texts there are."""
    with database.transaction() as tx:
        return rebuild_texts(tx)


@OWN
@pytest.mark.parametrize("damage", DAMAGE)
def test_check_finds_damage_and_rebuild_mends_it(
    alice: Person, database: SqliteDatabase, damage: str
) -> None:
    alice.persona(name="Luna")
    assert check_texts(database) == []
    with database.transaction() as tx:
        tx.execute(damage)
    assert answered(alice, "luna").get_json() == []
    assert check_texts(database) != []
    assert index_anew(database) == 1
    assert check_texts(database) == []
    assert found(alice, "luna") == ["Luna"]


def sentinels(database: SqliteDatabase) -> tuple[list[int], list[int]]:
    """The documents at which a search of one owner's range stops, as they are and as they ought to
    be."""
    found = database.connection.execute(
        "SELECT rowid FROM persona_search WHERE persona_search MATCH 'END'"
    )
    owners = database.connection.execute("SELECT id FROM users ORDER BY id")
    return [row[0] for row in found], [(row[0] + 1 << 32) - n for row in owners for n in (2, 1)]


@OWN
def test_two_sentinels_end_each_owners_range(app: Flask, database: SqliteDatabase) -> None:
    last = Person(app, "last")
    for change in (
        lambda tx: None,
        rebuild_texts,
        lambda tx: tx.execute("DELETE FROM users WHERE id = ?", [last.id]),
    ):
        with database.transaction() as tx:
            change(tx)
        there, wanted = sentinels(database)
        assert (there, check_texts(database)) == (wanted, [])
    assert there[-1] < last.id << 32


def pages_read(database: SqliteDatabase, user_id: int, query: dict[str, Any]) -> int:
    """How many pages of the index a search that finds nothing needs: those without which it
    fails."""
    query = PersonaQuery().load({}) | query
    needed = 0
    with database.transaction() as tx:
        for page in [
            row[0] for row in tx.execute("SELECT id FROM persona_search_data WHERE id > 10")
        ]:
            tx.execute("SAVEPOINT whole")
            tx.execute("DELETE FROM persona_search_data WHERE id = ?", [page])
            try:
                assert persona_search.page_ids(tx, user_id, False, query) == ("[]", 0)
            except sqlite3.DatabaseError:
                needed += 1
            tx.execute("ROLLBACK TO whole")
    return needed


@OWN
@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize(
    "query",
    [
        {"search": "aine"},
        {"search": "wine storm"},
        {"search": "wine storm", "is_favorite": False},
        {"search": "storm", "is_favorite": True},
    ],
)
def test_a_search_does_not_read_the_texts_of_others(
    alice: Person, bob: Person, database: SqliteDatabase, query: dict[str, Any], above: bool
) -> None:
    """Not even for an absent word whose trigrams many of theirs contain, or for words that are in
    no text together."""
    with database.transaction() as tx:
        tx.execute("INSERT INTO persona_search (persona_search, rank) VALUES ('pgsz', 64)")
    reader, other = (bob, alice) if above else (alice, bob)
    read = []
    for count in (50, 200):
        with database.transaction() as tx:
            tx.execute("DELETE FROM persona_texts")
            tx.executemany(
                "INSERT INTO persona_texts (doc_id, safety, favor, search_text)"
                " VALUES (?, 'sfw', ?, ?)",
                [
                    (owner.id << 32 | n, *(("fav", "rain wine") if n % 2 else ("oth", "storm")))
                    for owner, texts in ((reader, 6), (other, 2 * count))
                    for n in range(1, texts + 1)
                ],
            )
            # Not rebuild_texts, which drops the texts of no persona.
            tx.execute("INSERT INTO persona_search (persona_search) VALUES ('rebuild')")
        read.append(pages_read(database, reader.id, query))
    # Up to 7 more, and where nothing ends the range dozens.
    assert 0 < read[1] <= read[0] + 8, read


def test_sentinels_are_no_personas(alice: Person, bob: Person, database: SqliteDatabase) -> None:
    bob.persona(name="Luna")
    for _ in range(2):
        for word in ("end", "END", "nd"):
            answer = answered(alice, word)
            assert (answer.get_json(), answer.headers["X-Total-Count"]) == ([], "0"), word
        index_anew(database)
    alice.persona(name="The End")
    index_anew(database)
    assert (found(alice, "end"), found(bob, "end")) == (["The End"], [])


@OWN
def test_check_finds_a_missing_sentinel(database: SqliteDatabase) -> None:
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO persona_search (persona_search, rowid, marked_text)"
            " SELECT 'delete', doc_id, marked_text FROM persona_search_sentinels"
        )
    assert (sentinels(database)[0], check_texts(database)) == (
        [],
        ["The index differs from its table."],
    )
    index_anew(database)
    there, wanted = sentinels(database)
    assert (there, check_texts(database)) == (wanted, [])


@pytest.mark.parametrize("sort", ["created_at", "-created_at"])
def test_every_page_of_what_the_index_finds_is_a_slice(alice: Person, sort: str) -> None:
    alice.allow_nsfw()
    made = [
        alice.persona(name=f"Luna {n}", is_nsfw=n % 5 == 4, is_favorite=n % 3 == 0)["id"]
        for n in range(37)
    ]
    for id in made[1:20:6]:
        path = f"/api/personas/{id}"
        assert alice.patch(path, json={"description": "wears a cloak"}).status_code == 200
    for query in ({}, {"include_nsfw": "true"}, {"is_favorite": "true"}, {"is_favorite": "false"}):
        shown = [
            id
            for n, id in enumerate(made)
            if (n % 5 != 4 or "include_nsfw" in query)
            and (n % 3 == 0)
            == {"true": True, "false": False}.get(query.get("is_favorite", ""), n % 3 == 0)
        ]
        wanted = shown[::-1] if sort.startswith("-") else shown
        for limit, offset in [
            *((1, at) for at in range(len(wanted) + 2)),
            *((4, at) for at in range(0, 40, 3)),
            (50, 0),
        ]:
            answer = answered(alice, "luna", sort=sort, limit=limit, offset=offset, **query)
            assert [p["id"] for p in answer.get_json()] == wanted[offset : offset + limit], (
                query,
                limit,
                offset,
            )
            assert answer.headers["X-Total-Count"] == str(len(wanted))


def test_what_is_found_is_ordered_as_the_list(alice: Person, database: SqliteDatabase) -> None:
    made = [alice.persona(name=f"Luna {n}", tags=["sea"])["id"] for n in range(4)]
    with database.transaction() as tx:
        # As an import or a clock that was set back leaves them.
        for id, day in zip(made, ("03", "01", "02", "01"), strict=True):
            moment = f"2026-01-{day}T00:00:00.000000Z"
            tx.execute("UPDATE personas SET created_at = ? WHERE id = ?", (moment, id))
    for sort in ("", "created_at", "-created_at", "name", "-name", "updated_at", "-updated_at"):
        plain = [p["id"] for p in alice.get(f"/api/personas?sort={sort}").get_json()]
        for query in ("search=luna", "search=lu", "search=una+sea", "tag=sea", "is_favorite=false"):
            answer = alice.get(f"/api/personas?sort={sort}&{query}")
            assert [p["id"] for p in answer.get_json()] == plain, (sort, query)
    assert plain != made


def test_many_short_words_are_one_scan(
    alice: Person, app: Flask, database: SqliteDatabase, worker: Worker
) -> None:
    short = [a + b for a in "abcde" for b in "fghijk"]
    style = " ".join(short)
    persona = alice.persona(style_prompt=style)
    alice.preview(persona["id"])
    worker.work_one()
    for path, table in (("personas", "persona_texts"), ("jobs", "jobs"), ("media", "media_items")):
        for words, total in ((short, "1"), ([*short, "zz"], "0"), (["zzzz", *short], "0")):
            with told(database.connection) as asked:
                answer = alice.get(f"/api/{path}", query_string={"search": " ".join(words)})
            assert answer.headers["X-Total-Count"] == total
            scans = [sql for sql in asked if table in sql and re.search("INSTR|LIKE", sql)]
            # The full-text index of SQLite knows that there is no such word.
            indexed = ENGINE == "sqlite" and path == "personas" and "zzzz" in words
            assert len(scans) == (0 if indexed else 1), scans


@OWN
def test_the_index_is_merged_as_it_is_written(alice: Person, database: SqliteDatabase) -> None:
    for number in range(160):
        alice.persona(name=f"Élodie {number}", style_prompt=f"moonlit ocean {number}")
        # Eight of one size become one of the next: of three sizes seven stay, and one comes.
        assert segments(database) <= 22
    edited = alice.persona(name="Luna")["id"]
    index_anew(database)
    assert segments(database) == 1
    for number in range(40):
        for name in ("Luna", "Stella"):
            alice.patch(
                f"/api/personas/{edited}",
                json={"name": name, "style_prompt": f"teal light {number}"},
            )
    assert segments(database) <= 22
    assert alice.get("/api/personas?search=elodie").headers["X-Total-Count"] == "160"
    assert check_texts(database) == []


def test_check_agrees_after_every_kind_of_write(
    alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    alice.allow_nsfw()
    made = [
        person.persona(name=f"{n} é", tags=[f"t{n}"]) for n in range(4) for person in (alice, bob)
    ]
    alice.patch(f"/api/personas/{made[0]['id']}", json={"name": "other"})
    alice.patch(f"/api/personas/{made[0]['id']}", json={"is_favorite": True, "is_nsfw": True})
    alice.post(f"/api/personas/{made[2]['id']}/duplicate")
    bob.delete(f"/api/personas/{made[1]['id']}")
    assert check_texts(database) == []


def test_a_flag_set_from_outside_the_application_reaches_the_index(
    alice: Person, settings: Settings
) -> None:
    made = alice.persona(name="Luna")
    with open_rows(settings) as connection:
        connection.execute("UPDATE personas SET is_nsfw = TRUE WHERE id = ?", (made["id"],))
    assert found(alice, "luna") == []
    alice.allow_nsfw()
    assert found(alice, "luna", include_nsfw="true") == ["Luna"]
