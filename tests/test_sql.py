"""The statements of sql/: all prepare, all are used, none reads more than it must."""

from __future__ import annotations

import ast
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pglast
import pytest
from conftest import environment

import seidra
from benchmarks.weigh import numbered
from seidra.config import Settings
from seidra.database import stub
from seidra.database.queries import Statement, parameters_of, queries
from seidra.database.sqlite.connect import open_connection

pytestmark = pytest.mark.sqlite_only(
    "the plans are SQLite's; tests/postgresql runs every statement"
)

STATEMENTS: dict[str, Statement] = {
    statement.name: statement
    for statements in vars(queries).values()
    for statement in vars(statements).values()
}
"""Every statement, by namespace and name."""

TEXTS: dict[str, str] = {
    name + (f"[{','.join(chosen)}]" if chosen else ""): text
    for name, statement in STATEMENTS.items()
    if "sqlite" in statement.engines
    for chosen, text in statement.variants("sqlite").items()
}
"""The text of every statement, and of each variant of a family: `personas.page[name,all]`."""

PYTHON = sorted(Path(seidra.__file__).parent.rglob("*.py"))


def nothing(sql: str) -> dict[str, None]:
    """A value for each parameter: none."""
    return dict.fromkeys(parameters_of(sql))


@pytest.fixture(scope="module")
def migrated(template: Path) -> Iterator[sqlite3.Connection]:
    connection = open_connection(Settings.load(environment(template)).database_path)
    yield connection
    connection.close()


# ---------------------------------------------------------------------------------------- the texts


@pytest.mark.parametrize("name", TEXTS)
def test_every_statement_prepares(migrated: sqlite3.Connection, name: str) -> None:
    sql = TEXTS[name]
    assert migrated.execute(f"EXPLAIN {sql}", nothing(sql)).fetchall()


@pytest.mark.parametrize("name", TEXTS)
def test_every_statement_says_its_purpose_and_names_its_columns(name: str) -> None:
    assert re.fullmatch(r"[A-Z].{10,}\.", STATEMENTS[name.partition("[")[0]].purpose)
    sql = TEXTS[name]
    assert not re.search(r"(SELECT|DISTINCT|RETURNING|,)\s+(\w+\.)?\*", sql)
    # A name in double quotes is a string to SQLite where no such column is; JSON in a string may
    # hold them.
    assert '"' not in re.sub(r"'[^']*'", "''", sql)


OWN = {"search", "operations"}
"""The files that are each engine's own; what else is in sql/ both engines run."""

_PORTABLE = [name for name in TEXTS if name.partition(".")[0] not in OWN]


@pytest.mark.parametrize("name", _PORTABLE)
def test_postgresql_reads_every_statement_that_is_not_an_engines_own(name: str) -> None:
    pglast.parse_sql(numbered(TEXTS[name]))


_SQLITES = re.compile(
    r"<<|>>|\b(json\w*|instr|group_concat|iif|ifnull|unixepoch|strftime|datetime|typeof|rowid|blob"
    r"|glob|nocase)\b|\bLIMIT -1\b|\bOR (REPLACE|IGNORE|ABORT|ROLLBACK|FAIL)\b",
    re.IGNORECASE,
)
"""What PostgreSQL's parser reads and its engine does not know, or knows as another thing."""


@pytest.mark.parametrize("name", _PORTABLE)
def test_what_is_sqlites_alone_stands_in_its_own_files(name: str) -> None:
    assert not _SQLITES.search(re.sub(r"'[^']*'", "''", TEXTS[name]))


def test_the_types_of_the_statements_are_up_to_date() -> None:
    assert stub.PATH.read_text() == stub.stub_text(), "run `make format`"


def test_every_statement_is_used_and_every_used_one_exists() -> None:
    used = {
        name for path in PYTHON for name in re.findall(r"\bqueries\.(\w+\.\w+)", path.read_text())
    }
    assert used == set(STATEMENTS)


ALONE = {
    "sqlite": {
        *(f"search.{name}" for name in ("indexed", "scanned", "check", "optimize")),
        *(f"operations.{name}" for name in ("copy", "integrity", "schema_parts")),
    },
    "postgresql": {
        "search.plan_for_values",
        "search.containing",
        *(
            f"upkeep.{name}"
            for name in ("take_chores", "leave_chores", "server", "server_clock", "size")
        ),
        *(
            f"upkeep.fold_{name}_counts"
            for name in ("persona", "job", "media", "shared_persona", "shared_media", "collection")
        ),
    },
}
"""What only one engine is asked."""


def test_what_is_one_engines_alone_is_meant_to_be() -> None:
    for engine, names in ALONE.items():
        assert {n for n, each in STATEMENTS.items() if each.engines == (engine,)} == names


_SQL = re.compile(
    r"\b(SELECT\s|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s|DROP\s|ALTER\s|FROM\s+\w|WHERE\s|ORDER\s+BY|"
    r"PRAGMA\b|BEGIN\b|COMMIT\b|ROLLBACK\b)"
)
_ALLOWED = {
    "database/sqlite/connect.py": re.compile(r"PRAGMA \S.*|PRAGMA |BEGIN"),
    "database/postgresql/connect.py": re.compile(
        r"BEGIN|BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY|COMMIT|ROLLBACK|LISTEN "
        r"|; SELECT PG_ADVISORY_XACT_LOCK\("
    ),
    "database/postgresql/migrate.py": re.compile(
        r"SELECT PG_ADVISORY_LOCK\(%s\)|SELECT TO_REGCLASS\(%s\)|SELECT migration_id FROM "
        r"|SELECT COUNT\(\*\) FROM "
    ),
    "database/sqlite/writer.py": re.compile(
        r"BEGIN IMMEDIATE|COMMIT|ROLLBACK|SAVEPOINT block|ROLLBACK TO block"
    ),
    # yoyo's own tables, read before there is a schema.
    "database/sqlite/migrate.py": re.compile(
        r"SELECT name FROM sqlite_master WHERE name = \?|SELECT migration_id FROM "
        r"|SELECT COUNT\(\*\) FROM |PRAGMA temp_store = MEMORY"
    ),
    # Whole tables, whichever there are: made from the catalogue.
    "database/sqlite/move.py": re.compile(r"(?s).*"),
    "database/postgresql/move.py": re.compile(r"(?s).*"),
}


def strings(tree: ast.AST) -> Iterator[str]:
    """The string literals of a module that are no documentation."""
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documentation
        ):
            yield node.value


@pytest.mark.parametrize(
    "path", PYTHON, ids=lambda path: path.relative_to(Path(seidra.__file__).parent).as_posix()
)
def test_python_holds_no_sql(path: Path) -> None:
    allowed = _ALLOWED.get(path.relative_to(Path(seidra.__file__).parent).as_posix())
    for text in strings(ast.parse(path.read_text())):
        assert not _SQL.search(text) or (allowed and allowed.fullmatch(text)), text


SEEN = "(m.user_id = :user_id OR EXISTS (SELECT 1 FROM shared_media AS s WHERE s.media_id = m.id))"
"""The predicate that says who may see a media row of whoever owns it."""
SHARING = re.compile(r"\bshared_media\b|\bvisibility = 'shared'")
PERSONAS_SHARED = re.compile(
    r"([pq])\.visibility = 'shared'\s+"
    r"AND EXISTS \(SELECT 1 FROM sharers AS (\w) WHERE \2\.user_id = \1\.user_id\)"
)
"""The one that says which personas others may see; their media are none by that."""
SHOWN = re.compile(r"'shared'\s+AND (?:\w\.)?user_id <> :user_id")
"""What lists only what is shared by others asks for no more."""


def test_one_predicate_says_who_may_see_media_of_others() -> None:
    """Each statement that shows a media row to somebody who may not own it has it, word for word;
    the lists of what others share one by one read along `visibility` itself."""
    asking = {
        name.partition("[")[0]
        for name, text in TEXTS.items()
        if SHARING.search(PERSONAS_SHARED.sub("", text)) and "media_items" in text
    }
    having = {name for name in asking if SEEN in STATEMENTS_TEXT[name]}
    assert having == {
        "media.linked",
        "shared_media.get",
        "search.shared_media_page",
        "collections.media",
    }
    lists = {"shared_media.page", "shared_media.both", "shared_media.matching"}
    lists |= {"shared_media.by_date"}
    # Those of collections ask the collection, whose pictures are all its owner's.
    assert asking - having == lists | {
        "collections.get",
        "collections.page",
        "collections.both",
        # It counts, and shows nothing.
        "operations.wrong_counts",
        # What goes of an owner's own.
        "hand_overs.media",
        "hand_overs.shared_media",
    }
    for name in lists:
        assert SHOWN.search(STATEMENTS_TEXT[name])
        assert "FROM sharers AS u" in STATEMENTS_TEXT[name] or re.search(
            r"JOIN sharers AS u ON u\.user_id = m\.user_id", STATEMENTS_TEXT[name]
        )


STATEMENTS_TEXT = {name.partition("[")[0]: text for name, text in TEXTS.items()}


# ---------------------------------------------------------------------------------------- the plans

ROWID = "USING INTEGER PRIMARY KEY (rowid=?)"
JOB = "INDEX sqlite_autoindex_generation_jobs_1 (id=?)"
FRAME = "INDEX sqlite_autoindex_job_frames_1 (job_id=?)"
PICTURES = "INDEX media_job (job_id=?)"
MEDIA = "INDEX sqlite_autoindex_media_items_1 (id=?)"
TRASHED = "INDEX sqlite_autoindex_trash_2 (kind=? AND item_id=?)"
"""An entry of the trash, by what it was."""
ENTRY = "INDEX sqlite_autoindex_trash_1 (id=?)"
EXPORT = "INDEX sqlite_autoindex_exports_1 (id=?)"
IMPORT = "INDEX sqlite_autoindex_imports_1 (id=?)"
IMPORTED = "INDEX sqlite_autoindex_import_entries_1 (import_id=? AND n=?)"
"""An entry of an import."""
ENTRIES = "INDEX sqlite_autoindex_import_entries_1 (import_id=?)"
ENTRIES_ON = "INDEX sqlite_autoindex_import_entries_1 (import_id=? AND n>?)"
SOURCE = "INDEX sqlite_autoindex_persona_sources_1 (persona_id=?)"
UID = "INDEX sqlite_autoindex_personas_1 (uid=?)"
COVER = "INDEX media_persona (persona_id=? AND user_id=?)"
OWNER = "u USING INTEGER PRIMARY KEY (rowid=?)"
"""Of what is shared: that its owner's account is live, and may share."""
SHARED_AVATAR = "INDEX personas_shared_avatar (avatar_media_id=?)"
QUEUED = "file_deletions USING PRIMARY KEY (key=?)"
VIEWER = "INDEX nsfw_settings_user (user_id=?)"
SEARCHED = ":M1><"
"""The full-text index: matched, in a range of rowids."""
REVISIONS = "persona_revisions_1"
"""The index of a persona's revisions, by the end of its name."""
NOTHING: tuple[str, ...] = ()
"""For what only inserts."""

PLANS: dict[str, tuple[str, ...]] = {
    "invitations.create": NOTHING,
    "invitations.open": ("invitations USING INDEX sqlite_autoindex_invitations_1 (digest=?)",),
    "invitations.take": ("invitations USING INDEX sqlite_autoindex_invitations_1 (digest=?)",),
    "invitations.page": ("SCAN invitations USING INDEX invitations_made", ROWID),
    "invitations.count": ("SCAN invitations",),
    "invitations.delete": (ROWID,),
    "invitations.prune": ("INDEX invitations_expiry (expires_at<?)",),
    "hand_overs.create": NOTHING,
    "hand_overs.get": (ROWID,),
    "hand_overs.page[all]": ("SCAN hand_overs USING INDEX hand_overs_made", ROWID),
    "hand_overs.page[to]": ("INDEX hand_overs_receiver (to_id=?)", ROWID),
    "hand_overs.count[all]": ("hand_overs",),
    "hand_overs.count[to]": ("INDEX hand_overs_receiver (to_id=?)",),
    "hand_overs.answer": (ROWID,),
    "hand_overs.withdraw_all": ("hand_overs",),
    "hand_overs.expire": ("INDEX hand_overs_expiry (expires_at<?)",),
    "hand_overs.accepted": ("hand_overs USING INDEX hand_overs_accepted",),
    "hand_overs.is_receiver_there": (ROWID,),
    "hand_overs.personas[all,all]": ("INDEX personas_created (user_id=? AND created_at>?)",),
    "hand_overs.personas[safe,all]": (
        "INDEX personas_created_safe (user_id=? AND is_nsfw=? AND created_at>?)",
    ),
    "hand_overs.personas[all,shared]": ("q USING INDEX personas_shared",),
    "hand_overs.personas[safe,shared]": ("q USING INDEX personas_shared",),
    "hand_overs.move_personas": (ROWID,),
    "hand_overs.media[all,all]": ("INDEX media_created (user_id=? AND created_at>?)", JOB),
    "hand_overs.media[safe,all]": (
        "INDEX media_created_safe (user_id=? AND is_nsfw=? AND created_at>?)",
        JOB,
    ),
    "hand_overs.media[all,shared]": ("q USING INDEX media_shared", JOB),
    "hand_overs.media[safe,shared]": ("q USING INDEX media_shared", JOB),
    "hand_overs.shared_media": ("q USING INDEX media_shared",),
    "hand_overs.shared_personas": ("shared_persona_counts USING PRIMARY KEY (user_id=?)",),
    "hand_overs.collections[all]": ("INDEX collections_owner (user_id=?)",),
    "hand_overs.collections[shared]": ("c USING INDEX collections_",),
    "hand_overs.collections_count[all]": ("INDEX collections_owner (user_id=?)",),
    "hand_overs.collections_count[shared]": ("c USING INDEX collections_",),
    "hand_overs.move_collections": ("INDEX sqlite_autoindex_collections_1 (id=?)",),
    "hand_overs.thin_collections": ("collection_media USING", "(collection_id=?)", MEDIA),
    "hand_overs.take_out": ("INDEX collection_media_item (media_id=?)",),
    "hand_overs.move_media": (MEDIA, ROWID),
    "hand_overs.jobs_changed": (JOB,),
    "hand_overs.count_up": (ROWID,),
    "hand_overs.finish": (ROWID,),
    "exports.create": NOTHING,
    "exports.count": ("INDEX exports_owner (user_id=?)",),
    "exports.page": ("INDEX exports_owner (user_id=?)", EXPORT),
    "operations.exports_drop": ("exports",),
    "operations.imports_drop": NOTHING,
    "exports.get": (EXPORT,),
    "exports.linked": (EXPORT, ROWID),
    "exports.delete": (EXPORT,),
    "exports.due": ("INDEX exports_status (status=?)",),
    # What waits is few: either index gives it.
    "exports.claim": (EXPORT, "INDEX exports_status (status=?)", "SEARCH o USING INDEX exports_"),
    "exports.heartbeat": (EXPORT,),
    "exports.give_back": (EXPORT,),
    "exports.finish": (EXPORT,),
    "exports.fail": (EXPORT,),
    "exports.expired": ("INDEX exports_expiry (expires_at<?)",),
    "exports.prune": (EXPORT, "INDEX exports_expiry (expires_at<?)"),
    "import_pictures.owner": (MEDIA, TRASHED),
    "import_pictures.add": NOTHING,
    "import_pictures.sums": ("INDEX import_pictures_state (import_id=? AND state=?)",),
    "import_pictures.in_state": (
        "INDEX import_pictures_state (import_id=? AND state=?)",
        "INDEX sqlite_autoindex_import_entries_1 (import_id=? AND n=?)",
    ),
    "import_pictures.move": ("INDEX sqlite_autoindex_import_pictures_1 (import_id=? AND n=?)",),
    "import_pictures.drop": (
        "INDEX sqlite_autoindex_import_pictures_1 (import_id=? AND n=?)",
        "(import_id=?)",
    ),
    "import_pictures.purge_batch": (
        "INDEX imports_owner (user_id=?)",
        "(import_id=?",
    ),
    "media.whole_page[user]": (
        "INDEX media_created (user_id=? AND created_at>?)",
        ROWID,
    ),
    "media.whole_page[persona]": (
        "INDEX media_persona (persona_id=? AND user_id=? AND created_at>?)",
        ROWID,
    ),
    "media.whole_with_persona": (MEDIA, ROWID),
    "media.persona_bytes": ("(persona_id=?", ROWID),
    "media.cover": (MEDIA, "(persona_id=?"),
    "personas.whole_page": ("INDEX personas_created (user_id=? AND created_at>?)",),
    "personas.set_history": (ROWID,),
    "revisions.whole": ("INDEX sqlite_autoindex_persona_revisions_1 (user_id=? AND persona_id=?)",),
    "api_keys.create": NOTHING,
    "api_keys.delete": (ROWID,),
    "api_keys.end_all": ("INDEX api_keys_user (user_id=?)",),
    "api_keys.list_all": ("INDEX api_keys_user (user_id=?)",),
    "api_keys.prune": ("INDEX api_keys_expiry (expires_at<?)",),
    "api_keys.used": (ROWID,),
    "api_keys.user_by_digest": ("INDEX sqlite_autoindex_api_keys_1 (digest=?)", ROWID),
    "api_keys.user_by_id": ("k USING INTEGER PRIMARY KEY (rowid=?)", ROWID),
    # Along the owner's or, where one user has them all, along all: the range of ids bounds both.
    "events.changes": (">? AND ",),
    "events.oldest": ("SEARCH job_events",),
    "events.prune": (">? AND ", "SCAN job_events"),
    "events.pulse": (
        "u USING INTEGER PRIMARY KEY (rowid=?)",
        "s USING PRIMARY KEY (id=?)",
        "k USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH e",
        VIEWER,
    ),
    "jobs.cancel": (JOB,),
    "jobs.cancel_waiting": (JOB, "INDEX jobs_status (user_id=? AND status=?)"),
    "jobs.update_nsfw": (JOB,),
    "jobs.cancel_all": ("INDEX jobs_status (user_id=? AND status=?)",),
    # Of each account that waits one job is looked at, however many it has.
    "jobs.claim": (
        JOB,
        "INDEX jobs_held (engine=? AND run_after<?)",
        "INDEX jobs_held (engine=? AND run_after>?)",
        "INDEX jobs_turns (engine=? AND user_id>?)",
        "INDEX jobs_turns (engine=? AND user_id=?)",
        "SEARCH e USING PRIMARY KEY (name=?)",
        "INDEX jobs_models (engine=? AND model_name=?)",
        "INDEX jobs_models (engine=? AND model_name=? AND user_id>?)",
        "INDEX jobs_models (engine=? AND model_name=? AND user_id=?)",
        "SEARCH t USING PRIMARY KEY (engine=?)",
    ),
    "jobs.counts": ("job_counts USING PRIMARY KEY (user_id=?)",),
    "jobs.create": NOTHING,
    "jobs.delete": (JOB,),
    "jobs.due": (
        "INDEX jobs_queue (engine=? AND run_after<?)",
        "INDEX jobs_held (engine=? AND run_after>?)",
    ),
    "jobs.ended": ("INDEX jobs_created (user_id=?)",),
    "jobs.fail_gone": (JOB, "(engine=?)"),
    "engines.load_model": ("engines USING PRIMARY KEY (name=?)",),
    "engines.begin_turn": ("engines USING PRIMARY KEY (name=?)",),
    "jobs.fail": (JOB,),
    "jobs.finish": (JOB,),
    "jobs.frame": (FRAME, JOB, ROWID, VIEWER),
    "jobs.get_for_update": (JOB, VIEWER),
    "jobs.give_back": (JOB,),
    "jobs.heartbeat": (JOB,),
    "jobs.keep_picture": (JOB,),
    "jobs.sources": ("INDEX sqlite_autoindex_generation_jobs_1 (id>?)",),
    "jobs.submit": (JOB,),
    "jobs.update_search_text": (JOB,),
    "jobs.places": (
        "INDEX jobs_status (user_id=? AND status=?)",
        "INDEX jobs_ended",
        "INDEX jobs_held (engine=?)",
        # What waits on an engine, along either index.
        "(engine=?)",
        # Of ten minutes there are few, along either index.
        "SEARCH t USING",
    ),
    "jobs.last_completed": ("INDEX jobs_completed (user_id=?)",),
    "jobs.mark_nsfw": ("INDEX jobs_persona (persona_id=? AND user_id=?)",),
    "jobs.matching[active]": (
        JOB,
        "INDEX jobs_status (user_id=? AND status=?)",
    ),
    "media.mark_nsfw_of_job": ("INDEX media_job (job_id=?)",),
    "trash.mark_nsfw_of_job": ("INDEX trash_job (job_id=?)",),
    "jobs.matching[user]": ("INDEX jobs_created (user_id=?)",),
    "media.positions": ("INDEX media_job (job_id=?)", "INDEX trash_job (job_id=?)"),
    "engines.register": NOTHING,
    "engines.probe_due": ("SCAN engines",),
    "engines.take_probe": ("engines USING PRIMARY KEY (name=?)",),
    "engines.probed": ("engines USING PRIMARY KEY (name=?)",),
    "engines.unreachable": ("engines USING PRIMARY KEY (name=?)",),
    "engines.ask_probe": ("engines USING PRIMARY KEY (name=?)",),
    "engines.get": ("engines USING PRIMARY KEY (name=?)",),
    "engines.list_all": ("SCAN engines",),
    "engines.load": ("generation_jobs USING INDEX jobs_queue",),
    "engines.add_turn": (ROWID,),
    "engines.prune_turns": ("engine_turns_minute",),
    "engines.orphans": ("INDEX engine_orphans_engine (engine=? AND since<?)",),
    "engines.orphan_gone": ("engine_orphans USING PRIMARY KEY (job_id=?)",),
    "engines.orphans_count": ("engine_orphans",),
    "jobs.matching[persona]": ("INDEX jobs_persona (persona_id=? AND user_id=?)",),
    # What waits is few, and here all of it is looked at, whatever its engine.
    "jobs.misdated": ("generation_jobs USING INDEX jobs_queue",),
    "jobs.progress": (JOB,),
    "jobs.prunable": ("INDEX jobs_ended (completed_at<?)",),
    "jobs.prune": (JOB, "INDEX jobs_ended (completed_at<?)"),
    "jobs.purge_batch": (JOB, "(user_id=?)"),
    "jobs.put_frame": (JOB,),
    "jobs.queued": ("job_counts USING PRIMARY KEY (user_id=?)",),
    "jobs.redate": ("generation_jobs USING INDEX jobs_queue",),
    "jobs.remember": (JOB,),
    "jobs.results_changed": (JOB, MEDIA),
    "jobs.state": (JOB,),
    "jobs.wanted": (JOB,),
    "media.announce": NOTHING,
    "media.announcement_take": (QUEUED,),
    "media.announcements_condemn": ("INDEX file_deletions_due (due_at<?)",),
    "media.announcements_overdue": ("INDEX file_deletions_due (due_at<?)",),
    "media.condemn": NOTHING,
    "media.by_date": ("INDEX media_created (user_id=? AND created_at>?)",),
    "media.by_persona": (
        "INDEX personas_name (user_id=?)",
        "INDEX media_cover (persona_id=? AND user_id=?)",
    ),
    "media.counts": ("media_counts USING PRIMARY KEY (user_id=?)",),
    "media.create": NOTHING,
    "media.delete": (MEDIA,),
    "media.deletions": ("INDEX file_deletions_due (due_at=?)",),
    "media.deletions_done": (QUEUED,),
    "media.bring_back": NOTHING,
    "media.exists": (MEDIA, TRASHED),
    "media.get": (MEDIA, JOB, ROWID, VIEWER),
    "media.key_named": (MEDIA, "INDEX trash_file (file_key=?)"),
    "media.loras": ("INDEX media_loras_media (media_id=?)",),
    "media.loras_add": NOTHING,
    "media.whole": (MEDIA,),
    "media.linked": (MEDIA, VIEWER, ROWID, "INDEX collection_media_item (media_id=?)"),
    "media.named": (MEDIA, ROWID, VIEWER),
    "media.mark_nsfw": ("INDEX media_cover (persona_id=? AND user_id=? AND is_nsfw=?)",),
    "media.matching[time]": ("INDEX media_created (user_id=? AND created_at>? AND created_at<?)",),
    "media.matching[persona]": (
        "INDEX media_persona (persona_id=? AND user_id=? AND created_at>? AND created_at<?)",
    ),
    "media.matching[model]": (
        "INDEX media_model (user_id=? AND model=? AND created_at>? AND created_at<?)",
    ),
    "media.matching[job]": ("m USING INDEX media_job (job_id=?)", JOB),
    "media.matching[lora]": ("media_loras USING PRIMARY KEY (user_id=? AND name=?)", MEDIA),
    "media.matching[tag]": ("media_tags USING PRIMARY KEY (user_id=? AND tag_key=?)", MEDIA),
    "media.newest_before[all]": ("INDEX media_created (user_id=? AND created_at<?)",),
    "media.newest_before[favorites]": ("INDEX media_favorite (user_id=? AND created_at<?)",),
    "media.newest_before[model]": ("INDEX media_model (user_id=? AND model=? AND created_at<?)",),
    "media.newest_before[safe]": (
        "INDEX media_created_safe (user_id=? AND is_nsfw=? AND created_at<?)",
    ),
    "media.count_between[all]": ("INDEX media_created (user_id=? AND created_at>?",),
    "media.count_between[favorites]": ("INDEX media_favorite (user_id=? AND created_at>?",),
    "media.count_between[model]": ("INDEX media_model (user_id=? AND model=? AND created_at>?",),
    "media.count_between[safe]": (
        "INDEX media_created_safe (user_id=? AND is_nsfw=? AND created_at>?",
    ),
    # Along an index of the owner; where one user has everything, all rows are theirs.
    "media.facets": ("media_items",),
    "idempotency.get": ("idempotency_keys USING PRIMARY KEY (user_id=? AND key=?)",),
    "idempotency.keep": NOTHING,
    "idempotency.prune": ("INDEX idempotency_keys_age (created_at<?)",),
    "media.purge_batch": (MEDIA, "(user_id=?)"),
    "media.sources": (MEDIA.replace("(id=?)", "(id>?)"),),
    "media.tags_add": NOTHING,
    "media.tags_clear": ("INDEX media_tags_media (media_id=?)",),
    "media.tagged": ("t USING PRIMARY KEY (user_id=? AND tag_key=?)", MEDIA),
    "media.update": (MEDIA,),
    "media.update_search_text": (MEDIA,),
    "media.version": (MEDIA,),
    "nsfw.get": ("INDEX nsfw_settings_owner (<expr>=?)",),
    "nsfw.get_default": ("INDEX nsfw_settings_owner (<expr>=?)",),
    "nsfw.in_force": (VIEWER, "INDEX nsfw_settings_owner (<expr>=?)", ROWID),
    "nsfw.put": NOTHING,
    "nsfw.seed_default": NOTHING,
    "operations.api_keys_end": NOTHING,
    "operations.copy": NOTHING,
    "operations.dangling": NOTHING,
    "operations.frames_drop": NOTHING,
    "operations.idempotency_drop": NOTHING,
    "operations.integrity": NOTHING,
    "operations.media_after": (
        "INDEX sqlite_autoindex_media_items_1 (id>?)",
        "INDEX sqlite_autoindex_trash_2 (kind=? AND item_id>?)",
    ),
    "operations.media_deletion_queued": (QUEUED,),
    "operations.media_drop": (MEDIA,),
    "operations.media_total": ("SCAN media_items",),
    "operations.media_unname": (MEDIA,),
    "operations.overdue_jobs": ("INDEX jobs_queue",),
    "operations.password_links_end": NOTHING,
    "operations.personas_too_long": ("SCAN personas",),
    "operations.quick_integrity": NOTHING,
    "operations.schema_parts": ("SCAN sqlite_master",),
    "operations.share_links_end": NOTHING,
    "operations.invitations_end": ("SCAN invitations",),
    "operations.sessions_end": NOTHING,
    "operations.wrong_counts": ("SCAN personas", "SCAN generation_jobs", "SCAN media_items"),
    "personas.count": ("persona_counts USING PRIMARY KEY (user_id=?)",),
    "personas.create": NOTHING,
    "personas.bring_back": NOTHING,
    "personas.delete": (ROWID,),
    "personas.whole": (ROWID,),
    "personas.get[own]": (ROWID, MEDIA, VIEWER),
    "personas.get[seen]": (ROWID, MEDIA, VIEWER, OWNER),
    "personas.shared_exists": (ROWID, VIEWER, OWNER),
    "personas.count_shared": ("SCAN c", OWNER),
    "media.linked_avatar": (SHARED_AVATAR, MEDIA, VIEWER, OWNER),
    "search.shared": ("personas_shared", "x USING INTEGER PRIMARY KEY (rowid=?)", OWNER),
    "personas.matching_tagged": ("t USING PRIMARY KEY (user_id=? AND tag_key=?)", ROWID),
    "personas.tagged": ("t USING PRIMARY KEY (user_id=? AND tag_key=?)", ROWID),
    "personas.matching_untagged": (
        "(user_id=?)",
        "INDEX persona_tags_persona (persona_id=?)",
    ),
    "personas.facets": ("(user_id=?)",),
    "personas.purge_batch": (ROWID, "(user_id=?)"),
    "personas.tags_add": NOTHING,
    "personas.tags_clear": ("INDEX persona_tags_persona (persona_id=?)",),
    "personas.update": (ROWID,),
    "personas.update_name_key": (ROWID,),
    "platform.jobs_by_status": ("SCAN job_counts",),
    "platform.media_bytes": ("SCAN media_counts",),
    "platform.oldest_queued": ("generation_jobs USING INDEX jobs_models",),
    "platform.ping": NOTHING,
    "platform.remember": NOTHING,
    "platform.state": ("platform_state USING PRIMARY KEY (name=?)",),
    "platform.summary": ("SCAN persona_counts", "SCAN job_counts", "SCAN media_counts"),
    "revisions.beside": (ROWID,),
    "revisions.count": (f"{REVISIONS} (user_id=? AND persona_id=?)", VIEWER),
    "revisions.keep": NOTHING,
    "revisions.kept": (f"{REVISIONS} (user_id=? AND persona_id=? AND number<?)", VIEWER),
    "revisions.mark_nsfw": (f"{REVISIONS} (user_id=? AND persona_id=?)",),
    "revisions.prune": (f"{REVISIONS} (user_id=? AND persona_id=? AND number<?)",),
    "revisions.purge_batch": (ROWID, f"{REVISIONS} (user_id=?)"),
    "search.check": NOTHING,
    "search.drop_strays": ("SCAN persona_texts", ROWID),
    "search.indexed": (SEARCHED,),
    "search.optimize": NOTHING,
    "search.persona_page": (ROWID, MEDIA),
    "search.put": NOTHING,
    "search.rebuild": NOTHING,
    "search.scanned": ("persona_texts USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",),
    "search.sources": ("p USING INTEGER PRIMARY KEY (rowid>?)", ROWID),
    "search.strays": ("SCAN x", ROWID),
    "search.job_page": ("found VIRTUAL TABLE", JOB, ROWID, FRAME, PICTURES),
    "search.media_page": (MEDIA, JOB, ROWID),
    "trash.add": NOTHING,
    "trash.bytes": ("INDEX trash_bytes (user_id=? AND bytes>?)",),
    "trash.count": ("INDEX trash_owner (user_id=?)",),
    "trash.drop_item": (TRASHED,),
    "trash.get": (ENTRY, VIEWER),
    "trash.get_item": (TRASHED, VIEWER),
    "trash.linked": (ENTRY, VIEWER, ROWID),
    "trash.mark_nsfw": ("INDEX trash_persona (persona_id=?)",),
    "trash.page[all]": ("INDEX trash_owner (user_id=?)", ENTRY, MEDIA, COVER),
    "trash.page[safe]": ("INDEX trash_owner (user_id=?)", ENTRY, MEDIA, COVER),
    "trash.purge_batch": (ENTRY, "(user_id=?)"),
    "trash.purge_before": ("INDEX trash_deleted (deleted_at<?)",),
    "trash.purgeable": ("INDEX trash_deleted (deleted_at<?)",),
    "trash.remove": (ENTRY,),
    "search.media_facets": (MEDIA,),
    "search.own_media": (MEDIA, VIEWER),
    "search.persona_facets": (ROWID,),
    "users.by_email": ("users USING INDEX sqlite_autoindex_users_2 (email_key=?)",),
    "users.by_username": ("users USING INDEX sqlite_autoindex_users_1 (username_key=?)",),
    "users.count[all]": ("SCAN users",),
    "users.count[group]": ("INDEX users_group (group_id=?)",),
    "users.create": NOTHING,
    "users.end_sessions": ("INDEX sessions_user (user_id=?)",),
    "users.get": (ROWID,),
    "users.get_for_update": (ROWID,),
    "users.list_all": ("SCAN users",),
    "users.mark_deleted": (ROWID,),
    "users.names": (ROWID.replace("rowid=?", "rowid>?"),),
    "users.next_deleted": ("INDEX users_deleted",),
    "users.other_active_admins": ("INDEX users_active_admins",),
    "users.page[all]": (
        "SCAN u",
        "SEARCH c USING PRIMARY KEY (user_id=?)",
        "INDEX sessions_user (user_id=?)",
    ),
    "users.page[one]": (
        ROWID,
        "SEARCH c USING PRIMARY KEY (user_id=?)",
        "INDEX sessions_user (user_id=?)",
    ),
    "users.page[group]": (
        "INDEX users_group (group_id=?)",
        "SEARCH c USING PRIMARY KEY (user_id=?)",
        "INDEX sessions_user (user_id=?)",
    ),
    "limits.in_force": ("u USING INTEGER PRIMARY KEY (rowid=?)", "g USING INTEGER PRIMARY KEY"),
    "limits.of_account": (ROWID,),
    "limits.write": (ROWID,),
    "limits.group_page[all]": ("INDEX users_group (group_id=?)",),
    "limits.group_page[one]": ("g USING INTEGER PRIMARY KEY (rowid=?)", "users_group (group_id=?)"),
    "limits.group_count": ("account_groups",),
    "limits.group_by_name": ("(name_key=?)",),
    "limits.group_create": NOTHING,
    "limits.group_update": (ROWID,),
    "limits.group_delete": (ROWID,),
    "limits.join": (ROWID,),
    "limits.leave": (ROWID,),
    "usage.add": (ROWID,),
    "usage.of_day": ("usage_days USING PRIMARY KEY (user_id=? AND day=?)",),
    "usage.stored": ("c USING PRIMARY KEY (user_id=?)", "trash_bytes (user_id=? AND"),
    "usage.by_day": ("INDEX usage_days_day (day>? AND day<?)",),
    "usage.by_account": ("day>? AND day<?",),
    "usage.total": ("day>? AND day<?",),
    "usage.promised[all]": ("jobs_ended", "INDEX jobs_status (user_id=? AND status=?)"),
    "usage.promised[held]": ("jobs_ended", "INDEX jobs_status (user_id=? AND status=?)"),
    "usage.prune": ("INDEX usage_days_day (day<?)",),
    "users.password_costs": ("SCAN users",),
    "users.password_hash": (ROWID,),
    "users.password_link_drop": ("password_links USING PRIMARY KEY (user_id=?)",),
    "users.password_link_put": NOTHING,
    "users.password_link_user": ("password_links_1 (digest=?)", ROWID),
    "users.password_links_prune": ("INDEX password_links_expiry (expires_at<?)",),
    "users.purge": (ROWID,),
    "users.record_first_person": NOTHING,
    "users.refresh_add": NOTHING,
    "users.refresh_drop_rivals": ("INDEX refresh_tokens_parent (parent=?)",),
    "users.refresh_get": (
        "r USING PRIMARY KEY (digest=?)",
        "s USING PRIMARY KEY (id=?)",
        "c USING INDEX refresh_tokens_parent (parent=?)",
        ROWID,
    ),
    "users.refresh_prune": (
        "INDEX refresh_tokens_session (session_id=?)",
        "INDEX refresh_tokens_parent (parent=?)",
    ),
    "users.refresh_use": ("refresh_tokens USING PRIMARY KEY (digest=?)",),
    "users.rehash_password": (ROWID,),
    "users.seed": NOTHING,
    "users.seed_password": (ROWID,),
    "users.session_create": NOTHING,
    "users.session_end": ("sessions USING PRIMARY KEY (id=?)",),
    "users.session_end_by_handle": ("sessions",),
    "users.session_list": ("INDEX sessions_user (user_id=?)",),
    "users.session_used": ("sessions USING PRIMARY KEY (id=?)",),
    "users.session_user": ("s USING PRIMARY KEY (id=?)", ROWID),
    "users.sessions_prune": ("INDEX sessions_expiry (expires_at<?)",),
    "users.update_email": (ROWID,),
    "users.update_keys": (ROWID,),
    "users.update_nsfw_allowed": (ROWID,),
    "users.update_password": (ROWID,),
    "users.update_rights": (ROWID,),
    "users.update_settings": (ROWID,),
    "users.update_username": (ROWID,),
    "workers.gone": ("workers USING PRIMARY KEY (id=?)",),
    "workers.list_all": ("SCAN workers",),
    "workers.prune": ("SCAN workers",),
    "workers.seen": NOTHING,
    "imports.add_entries": NOTHING,
    "imports.begin": (IMPORT,),
    "imports.changed_since": (ENTRIES, ROWID),
    "imports.claim": (IMPORT,),
    "imports.count": ("INDEX imports_owner (user_id=?)",),
    "imports.plans": ("INDEX imports_owner (user_id=?)",),
    "imports.create": NOTHING,
    "imports.decide": (IMPORTED,),
    "imports.drop": (IMPORT,),
    "imports.drop_entries": (IMPORTED, ENTRIES),
    "imports.end": (IMPORT,),
    "imports.entries_back": ("INDEX sqlite_autoindex_import_entries_1 (import_id=? AND n<?)",),
    "imports.entries_count[action]": ("INDEX import_entries_actions (import_id=? AND action=?)",),
    "imports.entries_count[all]": (ENTRIES_ON,),
    "imports.entries_on": (
        "INDEX sqlite_autoindex_import_entries_1 (import_id=? AND n>? AND n<?)",
    ),
    "imports.entries_page[action]": (
        "INDEX import_entries_actions (import_id=? AND action=?)",
        IMPORTED,
    ),
    "imports.entries_page[all]": (ENTRIES_ON, IMPORTED),
    "imports.expire": (IMPORT,),
    "imports.expiring": ("INDEX imports_expiry (expires_at<?)",),
    "imports.fail": (IMPORT,),
    "imports.get": (IMPORT,),
    "imports.imported_since": (
        ENTRIES,
        "INDEX persona_sources_entry (user_id=? AND format=? AND file=? AND entry=?)",
    ),
    "imports.journal": (IMPORTED,),
    "imports.journal_back": (IMPORTED,),
    "imports.outline": (ENTRIES,),
    "imports.page": ("INDEX imports_owner (user_id=?)", IMPORT),
    "imports.progress": (IMPORT,),
    "imports.purge_batch": ("INDEX imports_owner (user_id=?)", "(import_id=?"),
    "imports.results": ("INDEX import_entries_actions (import_id=?)",),
    "imports.show": (IMPORT,),
    "imports.waiting": ("INDEX imports_working",),
    "imports.working": ("(user_id=?)",),
    "personas.by_name": ("INDEX personas_name (user_id=? AND name_key=?)",),
    "personas.by_uid": (UID,),
    "personas.uid_taken": (UID,),
    "sources.by_entry": (
        "INDEX persona_sources_entry (user_id=? AND format=? AND file=? AND entry=?)",
        ROWID,
    ),
    "sources.get": (SOURCE,),
    "sources.put": NOTHING,
    "sources.remove": (SOURCE,),
    "sources.take": (IMPORTED,),
}
MEMBERS = "INDEX collection_media_order (collection_id=?)"
"""The pictures of a collection, in order."""
COLLECTION = "INDEX sqlite_autoindex_collections_1 (id=?)"
GIVEN = "INDEX collection_media_item (media_id=?)"
"""Whether a picture is in a collection that is shared."""
MEMBER = "USING PRIMARY KEY (collection_id=? AND media_id=?)"
SHARE = "INDEX sqlite_autoindex_share_links_1 (id=?)"
PLANS |= {
    "collections.add": NOTHING,
    "collections.changed": (COLLECTION,),
    "collections.count[mine]": ("INDEX collections_owner (user_id=?)",),
    "collections.count[shared]": ("i USING INDEX collections_shared",),
    "collections.count_owned": ("INDEX collections_owner (user_id=?)",),
    "collections.create": NOTHING,
    "collections.delete": (COLLECTION,),
    "collections.get": (COLLECTION, MEMBERS, MEDIA, VIEWER),
    "collections.media": (COLLECTION, MEMBERS, MEDIA, JOB, GIVEN),
    "collections.media_count": (COLLECTION, "SEARCH q USING ", "collection_id=?"),
    "collections.members": (MEMBERS,),
    "collections.holding": (GIVEN, COLLECTION),
    "collections.owner": (COLLECTION,),
    "collections.bring_back": NOTHING,
    "collections.drop_brought": (COLLECTION, "x USING", "(collection_id=?)"),
    "collections.page[mine]": ("INDEX collections_owner (user_id=?)", COLLECTION, MEMBERS, MEDIA),
    "collections.page[shared]": ("i USING INDEX collections_shared", COLLECTION, MEMBERS, MEDIA),
    "collections.both": (
        "INDEX collections_owner (user_id=?)",
        "i USING INDEX collections_shared",
        COLLECTION,
        MEMBERS,
    ),
    "collections.place": (MEMBER,),
    "collections.remove": (MEMBER,),
    "collections.update": (COLLECTION,),
    "media.matching[collection]": (COLLECTION, "x USING", "(collection_id=?)", MEDIA),
    "search.shared_media_page": (MEDIA, JOB, GIVEN),
    "share_links.count[collection]": ("INDEX share_links_collection (collection_id=?)",),
    "share_links.count[media]": ("INDEX share_links_media (media_id=?)",),
    # Those of a user, or the good ones: an account has few.
    "share_links.count[user]": ("INDEX share_links_",),
    "share_links.count_live": ("INDEX share_links_",),
    "share_links.create": NOTHING,
    "share_links.delete": (SHARE,),
    "share_links.opened": ("INDEX sqlite_autoindex_share_links_2 (token_hash=?)", ROWID),
    "share_links.newest[collection]": ("INDEX share_links_",),
    "share_links.newest[media]": ("INDEX share_links_",),
    "share_links.newest[user]": ("INDEX share_links_owner (user_id=?)",),
    "share_links.picture": (MEDIA, MEMBER, VIEWER),
    "share_links.pictures": (MEMBERS, MEDIA, VIEWER),
    "share_links.pictures_count": (MEMBERS, MEDIA, VIEWER),
    "share_links.prune": ("INDEX share_links_expiry (expires_at<?)",),
    "shared_media.by_date": ("INDEX media_shared (created_at>?)",),
    "shared_media.counts": ("SCAN c", ROWID),
    "shared_media.get": (MEDIA, VIEWER, GIVEN, JOB),
    "shared_media.matching[each]": ("INDEX media_shared (created_at>? AND created_at<?)",),
    "shared_media.matching[collection]": (COLLECTION, "x USING", "(collection_id=?)", MEDIA),
}
for _order in ("created_at", "-created_at"):
    PLANS |= {
        f"shared_media.page[{_order}]": ("SCAN media_items USING INDEX media_shared", MEDIA, JOB),
        f"shared_media.both[{_order}]": (
            "INDEX media_created (user_id=?)",
            "SCAN media_items USING INDEX media_shared",
            MEDIA,
            JOB,
        ),
        f"media.page[all,{_order}]": ("INDEX media_created (user_id=?)", MEDIA, JOB, ROWID),
        f"media.page[favorites,{_order}]": ("INDEX media_favorite (user_id=?)", MEDIA, JOB, ROWID),
        f"media.page[model,{_order}]": (
            "INDEX media_model (user_id=? AND model=?)",
            MEDIA,
            JOB,
            ROWID,
        ),
        f"media.page[safe,{_order}]": (
            "INDEX media_created_safe (user_id=? AND is_nsfw=?)",
            MEDIA,
            JOB,
            ROWID,
        ),
    }
for _type in ("one", "any"):
    PLANS |= {
        f"jobs.page[safe,{_type}]": (
            "INDEX jobs_created_safe (user_id=? AND is_nsfw=?)",
            JOB,
            ROWID,
            FRAME,
            PICTURES,
            VIEWER,
        ),
        f"jobs.page[all,{_type}]": (
            "INDEX jobs_created (user_id=?)",
            JOB,
            ROWID,
            FRAME,
            PICTURES,
            VIEWER,
        ),
        f"jobs.page[status,{_type}]": (
            "INDEX jobs_status (user_id=? AND status=?)",
            JOB,
            ROWID,
            FRAME,
            PICTURES,
            VIEWER,
        ),
        f"jobs.page[one,{_type}]": (JOB, ROWID, FRAME, PICTURES, VIEWER),
    }
for _key, _name in (("created_at", "created"), ("updated_at", "updated"), ("name", "name")):
    for _order in (_key, f"-{_key}"):
        _along = f"INDEX personas_{_name} (user_id=?)"
        _safe = "INDEX personas_created_safe (user_id=? AND is_nsfw=?)"
        _favorites = "personas_favorite" if _name == "created" else f"personas_favorite_{_name}"
        PLANS |= {
            f"search.sorted_page[few,{_order}]": (ROWID,),
            f"search.sorted_page[many,{_order}]": (_along,),
            f"search.sorted_page[seen,{_order}]": (ROWID, OWNER),
            f"personas.page[shared,{_order}]": (
                "INDEX personas_shared" + ("" if _name == "created" else f"_{_name}"),
                ROWID,
                MEDIA,
                OWNER,
            ),
            f"personas.page_of_all[{_key},{'down' if _order.startswith('-') else 'up'}]": (
                "MERGE (UNION ALL)",
                _along,
                "INDEX personas_shared" + ("" if _name == "created" else f"_{_name}"),
                ROWID,
                MEDIA,
                OWNER,
            ),
            f"personas.page[all,{_order}]": (_along, ROWID, MEDIA),
            f"personas.page[safe,{_order}]": (
                _safe if _name == "created" else _along,
                ROWID,
                MEDIA,
            ),
            f"personas.page[favorites,{_order}]": (f"INDEX {_favorites} (user_id=?)", ROWID, MEDIA),
        }

WHOLE = {
    "events.prune",
    # There are as many as administrators have made.
    "invitations.count",
    "hand_overs.count[all]",
    "hand_overs.withdraw_all",
    "operations.media_total",
    "operations.schema_parts",
    "operations.api_keys_end",
    "operations.exports_drop",
    "operations.imports_drop",
    "operations.idempotency_drop",
    "operations.password_links_end",
    "operations.sessions_end",
    "operations.share_links_end",
    "operations.invitations_end",
    "operations.wrong_counts",
    # A row or two an owner that shares.
    "personas.count_shared",
    "operations.personas_too_long",
    "platform.jobs_by_status",
    "platform.media_bytes",
    "platform.summary",
    "search.drop_strays",
    "search.strays",
    "users.count[all]",
    "limits.group_count",
    "limits.group_page[all]",
    "users.list_all",
    "users.page[all]",
    "users.password_costs",
    "engines.probe_due",
    # Where one user has everything: all rows are theirs.
    "media.facets",
    # A row or two an account.
    "shared_media.counts",
    "engines.list_all",
    "engines.load",
    "engines.orphans_count",
    "workers.list_all",
    "workers.prune",
}
"""What is meant to read a table from end to end."""

ROWS = 100_000
PART = {
    "jobs_queue": 50,
    "jobs_held": 5,
    "jobs_turns": 45,
    "jobs_models": 45,
    "imports_working": 5,
    "users_deleted": 5,
    "users_active_admins": 3,
    "personas_shared": 1_000,
    "personas_shared_updated": 1_000,
    "personas_shared_name": 1_000,
    "personas_shared_avatar": 200,
    "personas_favorite": 5_000,
    "personas_favorite_updated": 5_000,
    "personas_favorite_name": 5_000,
    "media_favorite": 5_000,
    "media_shared": 1_000,
    "collections_shared": 100,
}
"""How many rows the partial indexes hold, of a big database."""


def pretend(connection: sqlite3.Connection, owned: int) -> None:
    """Store the statistics of a database of 100,000 rows a table, of which a user owns so many."""
    connection.execute("ANALYZE")
    connection.execute("DELETE FROM sqlite_stat1")
    same = {
        "user_id": owned,
        "status": owned // 5,
        "is_nsfw": owned // 2,
        "persona_id": 50,
        "tag_key": owned // 200,
        "model": owned // 10,
        "engine": ROWS,
        "group_id": 20,
    }
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%STRICT%'"
    ).fetchall()
    for (table,) in tables:
        for _, index, *_ in connection.execute(f"PRAGMA index_list({table})").fetchall():
            columns = [
                found[2] for found in connection.execute(f"PRAGMA index_info({index})").fetchall()
            ]
            rows, figures = PART.get(index, ROWS), []
            for column in columns:
                # A user has many rows of everything but settings.
                figures.append(
                    1 if table == "nsfw_settings" else min(same.get(column, 1), rows, *figures)
                )
            if index == "jobs_completed":
                rows, figures[0] = ROWS // 5, owned // 5
            if table.endswith("_counts"):
                figures = [8] * (len(columns) - 1) + [1]
            text = " ".join(str(figure) for figure in (rows, *figures))
            connection.execute(
                "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", (table, index, text)
            )
    connection.execute("ANALYZE sqlite_master")


@pytest.fixture(scope="module", params=["no statistics", "many users", "one user has everything"])
def planner(
    request: pytest.FixtureRequest, migrated: sqlite3.Connection
) -> Iterator[tuple[str, sqlite3.Connection]]:
    """A connection with the statistics of one kind of database, on an empty one."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    migrated.backup(copy)
    if request.param != "no statistics":
        pretend(copy, owned=1_000 if request.param == "many users" else ROWS)
    yield request.param, copy
    copy.close()


def test_every_statement_has_its_plan_in_the_table() -> None:
    assert set(PLANS) == set(TEXTS)


@pytest.mark.parametrize("statement", PLANS)
def test_every_statement_reads_along_its_index(
    planner: tuple[str, sqlite3.Connection], statement: str
) -> None:
    _, connection = planner
    sql = TEXTS[statement]
    plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", nothing(sql)).fetchall()
    details = [str(step[3]).replace("COVERING INDEX", "INDEX") for step in plan]
    for part in PLANS[statement]:
        assert any(part in detail for detail in details), details
    scans = [
        detail
        for detail in details
        if re.fullmatch(
            r"SCAN (?!CONSTANT|tag$|page$|found$|word$|t$|d$|o$|own$|q$|mine$|theirs$|both_of$)\w+",
            detail,
        )
    ]
    assert not scans or statement in WHOLE, scans


PAGES = [name for name in PLANS if ".page" in name]


@pytest.mark.parametrize("statement", PAGES)
def test_no_page_sorts_more_than_itself(
    planner: tuple[str, sqlite3.Connection], statement: str
) -> None:
    sql = TEXTS[statement]
    steps: list[Any] = planner[1].execute(f"EXPLAIN QUERY PLAN {sql}", nothing(sql)).fetchall()
    [page] = [
        step[0]
        for step in steps
        if re.fullmatch(r"(MATERIALIZE|CO-ROUTINE) page|LIST SUBQUERY \d+", step[3])
    ]
    inside = [step[3] for step in steps if step[1] == page]
    assert inside
    assert not any("TEMP B-TREE" in detail for detail in inside), inside


@pytest.mark.parametrize(
    "statement",
    [
        name
        for name in PLANS
        # Favourites are few, and their index says by itself that they are.
        if re.match(r"media\.(newest_before|count_between)\[(?!favorites)", name)
    ],
)
def test_the_timeline_reads_indexes_alone(
    planner: tuple[str, sqlite3.Connection], statement: str
) -> None:
    sql = TEXTS[statement]
    [step] = planner[1].execute(f"EXPLAIN QUERY PLAN {sql}", nothing(sql)).fetchall()
    assert "COVERING INDEX" in step[3], step[3]


BESIDE = {"name_key", "extensions", "revised_at", "revised_by", "revision_note"}
"""What a persona's row has that no answer about it shows."""


def test_the_revisions_of_a_persona_are_read_in_their_order(
    planner: tuple[str, sqlite3.Connection],
) -> None:
    sql = TEXTS["revisions.kept"]
    steps = planner[1].execute(f"EXPLAIN QUERY PLAN {sql}", nothing(sql)).fetchall()
    assert not any("TEMP B-TREE" in step[3] for step in steps), [step[3] for step in steps]


def test_a_persona_is_read_alike_wherever_it_is_read(migrated: sqlite3.Connection) -> None:
    """For what it looks like (seidra/personas/view.py), and what a change is merged into."""
    columns = {
        name: [
            column[0]
            for column in migrated.execute(
                sql, nothing(sql) | {"limit": 0, "offset": 0}
            ).description
        ]
        for name, sql in TEXTS.items()
        if re.match(r"personas\.(get|page|page_of_all)\b|search\.persona_page\b", name)
    }
    assert len(columns) == 2 + 24 + 6 + 1
    assert len({tuple(each) for each in columns.values()}) == 1
    table = {row[1] for row in migrated.execute("PRAGMA table_info(personas)")}
    assert table - BESIDE == set(columns["personas.get[own]"]) - {
        "owner_name",
        "shown_media_id",
        "cover_media_id",
        "cover_width",
        "cover_height",
    }


def test_every_foreign_key_has_an_index_to_follow(migrated: sqlite3.Connection) -> None:
    tables = migrated.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%STRICT%'"
    ).fetchall()
    keys = 0
    for (table,) in tables:
        leading = {
            migrated.execute(f"PRAGMA index_info({index[1]})").fetchone()[2]
            for index in migrated.execute(f"PRAGMA index_list({table})").fetchall()
            if not index[4]
        }
        for key in migrated.execute(f"PRAGMA foreign_key_list({table})").fetchall():
            keys += 1
            assert key[3] in leading, (table, key[3])
    assert keys > 10


def test_the_index_is_compared_with_its_content_in_order(migrated: sqlite3.Connection) -> None:
    """As FTS5 reads it for `rebuild` and `integrity-check`: sorting a million texts would take all
    memory."""
    scan = (
        "SELECT t.doc_id, t.marked_text FROM persona_search_texts AS t"
        " WHERE t.doc_id >= 1 ORDER BY t.doc_id"
    )
    plan = [row[3] for row in migrated.execute(f"EXPLAIN QUERY PLAN {scan}")]
    assert "MERGE (UNION ALL)" in plan[0], plan
    assert not any("CO-ROUTINE" in step for step in plan), plan
