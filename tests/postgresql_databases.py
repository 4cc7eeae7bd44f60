"""The databases of one process of the tests on PostgreSQL.

To copy a database costs a server a third of a second of its processor, most tests less. So a test
gets a copy of the template that an earlier test has used, as it was before: emptied, filled again
with what the template holds, its sequences set back. A copy is given to nobody else when its test
has changed the schema or left a thread behind, when the server's account may not switch triggers
off, and when it has served for long.
"""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

_USES = 60
"""How often a copy is used: emptying leaves the rows behind for a vacuum that never comes."""

_FINGERPRINT = """
SELECT MD5(STRING_AGG(line, ';' ORDER BY line)) FROM (
    SELECT CONCAT_WS(' ', 'class', oid, relname, relfilenode) FROM pg_class
    WHERE relnamespace = 'public'::REGNAMESPACE
    UNION ALL
    SELECT CONCAT_WS(' ', 'column', attrelid, attnum, attname, attnotnull, atttypid)
    FROM pg_attribute
    WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::REGNAMESPACE)
    UNION ALL
    SELECT CONCAT_WS(' ', 'trigger', oid, tgenabled) FROM pg_trigger
    UNION ALL
    SELECT CONCAT_WS(' ', 'constraint', oid, convalidated) FROM pg_constraint
    UNION ALL
    SELECT CONCAT_WS(' ', 'function', oid, MD5(prosrc)) FROM pg_proc
    WHERE pronamespace = 'public'::REGNAMESPACE
    UNION ALL
    SELECT CONCAT_WS(' ', 'extension', oid) FROM pg_extension
    UNION ALL
    SELECT CONCAT_WS(' ', 'setting', ARRAY_TO_STRING(setconfig, ',')) FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = CURRENT_DATABASE())
) AS catalogue (line)
"""

_OTHERS = """
SELECT PG_TERMINATE_BACKEND(pid) FROM pg_stat_activity
WHERE datname = CURRENT_DATABASE() AND pid <> PG_BACKEND_PID()
"""


@dataclass(eq=False)
class _Template:
    """A database that others are copies of, and what a copy is brought back to."""

    name: str
    clear: bytes
    """Statements that empty all tables and set the sequences back."""
    rows: dict[str, bytes]
    """What the tables hold, as COPY writes it."""
    fingerprint: str
    free: list[_Copy] = field(default_factory=list)


@dataclass(eq=False)
class _Copy:
    """A copy of a template, and the connection that it is brought back by."""

    name: str
    template: _Template
    uses: int = 0
    keeper: psycopg.Connection[tuple[object, ...]] | None = None
    threads: frozenset[threading.Thread] = frozenset()


class Databases:
    """The databases that this process has made on a server, by the folders of their instances."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._names: dict[Path, str] = {}
        self._copies: dict[Path, _Copy] = {}
        self._templates: dict[str, _Template] = {}
        self._resets = True

    def _ask(self, statement: str) -> None:
        with psycopg.connect(f"{self.server}/postgres", autocommit=True) as connection:
            connection.execute(statement.encode())

    def of(self, folder: Path) -> str:
        """The name of the database of the instance that lives in `folder`; an empty one is made
        where there is none."""
        if folder not in self._names:
            name = f"seidra_{hashlib.sha256(str(folder).encode()).hexdigest()[:24]}"
            self._ask(f"CREATE DATABASE {name} TEMPLATE template0")
            self._names[folder] = name
        return self._names[folder]

    def copy(self, template: Path, folder: Path) -> None:
        """Let the instance in `folder` have a database as that in `template`, to which nobody may
        be connected."""
        source = self._template(self._names[template])
        if source.free:
            copy = source.free.pop()
        else:
            name = f"seidra_{hashlib.sha256(f'copy {folder}'.encode()).hexdigest()[:24]}"
            self._ask(f"CREATE DATABASE {name} TEMPLATE {source.name}")
            copy = _Copy(name, source)
        if folder in self._names:
            self._ask(f"DROP DATABASE {self._names[folder]} WITH (FORCE)")
        copy.uses += 1
        copy.threads = frozenset(threading.enumerate())
        self._names[folder] = copy.name
        self._copies[folder] = copy

    def end(self, below: Path) -> None:
        """Give back and drop the databases of the instances in this folder."""
        for folder in [folder for folder in self._names if folder.is_relative_to(below)]:
            copy = self._copies.pop(folder, None)
            if copy is not None and self._bring_back(copy):
                copy.template.free.append(copy)
            else:
                if copy is not None and copy.keeper is not None:
                    copy.keeper.close()
                with suppress(psycopg.Error):
                    self._ask(f"DROP DATABASE {self._names[folder]} WITH (FORCE)")
            del self._names[folder]

    def close(self) -> None:
        """Drop all of them."""
        for template in self._templates.values():
            for copy in template.free:
                if copy.keeper is not None:
                    copy.keeper.close()
                with suppress(psycopg.Error):
                    self._ask(f"DROP DATABASE {copy.name} WITH (FORCE)")
        self._templates.clear()
        for name in self._names.values():
            with suppress(psycopg.Error):
                self._ask(f"DROP DATABASE {name} WITH (FORCE)")
        self._names.clear()
        self._copies.clear()

    def _template(self, name: str) -> _Template:
        if name not in self._templates:
            with psycopg.connect(f"{self.server}/{name}", autocommit=True) as connection:
                self._templates[name] = _read_template(name, connection)
        return self._templates[name]

    def _bring_back(self, copy: _Copy) -> bool:
        """Make a copy what it was; whether that was done."""
        # A thread that a test has left behind would write into the database of another one.
        left = {thread for thread in threading.enumerate() if thread.is_alive()} - copy.threads
        if not self._resets or left or copy.uses >= _USES:
            return False
        try:
            if copy.keeper is None:
                copy.keeper = psycopg.connect(f"{self.server}/{copy.name}", autocommit=True)
                copy.keeper.execute("SET session_replication_role = replica")
                copy.keeper.execute("SET lock_timeout = '5s'")
            deadline = time.monotonic() + 5
            while copy.keeper.execute(_OTHERS.encode()).fetchall():
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.002)
            if _fingerprint(copy.keeper) != copy.template.fingerprint:
                return False
            copy.keeper.execute(copy.template.clear)
            for table, rows in copy.template.rows.items():
                with copy.keeper.cursor().copy(f"COPY {table} FROM STDIN".encode()) as target:
                    target.write(rows)
        except psycopg.errors.InsufficientPrivilege:
            self._resets = False
            return False
        except psycopg.Error:
            return False
        return True


def _fingerprint(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    (found,) = connection.execute(_FINGERPRINT.encode()).fetchone() or ("",)
    return str(found)


def _read_template(name: str, connection: psycopg.Connection[tuple[object, ...]]) -> _Template:
    tables = connection.execute(
        "SELECT QUOTE_IDENT(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    ).fetchall()
    statements, filled = [], {}
    for (table,) in tables:
        statements.append(f"DELETE FROM {table}")
        with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as source:
            rows = b"".join(bytes(block) for block in source)
        if rows:
            filled[str(table)] = rows
    for sequence, start, last in connection.execute(
        "SELECT FORMAT('%I.%I', schemaname, sequencename), start_value, last_value"
        " FROM pg_sequences WHERE schemaname = 'public'"
    ).fetchall():
        place = sql.Literal(sequence).as_string(connection)
        value = f"{start}, FALSE" if last is None else f"{last}, TRUE"
        statements.append(f"SELECT SETVAL({place}, {value})")
    return _Template(name, "; ".join(statements).encode(), filled, _fingerprint(connection))
