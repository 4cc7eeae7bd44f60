"""The statements of `sql/*.sql` as functions: `queries.personas.get(connection, user_id=..., id=...)`.

The file's stem is the namespace. The suffix of a statement's name says what a call returns: none a list of rows,
`^` a row or None, `$` a value or None, `!` the number of rows changed, `*!` the same for many parameter sets.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiosql
from aiosql.adapters.generic import GenericAdapter

from seidra.config import packaged_dir
from seidra.errors import StartError


class _Adapter(GenericAdapter):
    """aiosql for sqlite3, minus its traps: a SELECT runs at once, and every cursor is spent before it is left,
    since an unfetched RETURNING holds the write lock."""

    def select(self, conn: Any, query_name: str, sql: str, parameters: Any, record_class: Any = None) -> Any:
        return conn.execute(sql, parameters).fetchall()

    def select_one(self, conn: Any, query_name: str, sql: str, parameters: Any, record_class: Any = None) -> Any:
        cursor = conn.execute(sql, parameters)
        row = cursor.fetchone()
        cursor.close()
        return row

    def select_value(self, conn: Any, query_name: str, sql: str, parameters: Any) -> Any:
        row = self.select_one(conn, query_name, sql, parameters)
        return None if row is None else row[0]


def load(folder: Path) -> Any:
    """Load every file of `folder`. A statement named twice, or one that does not parse, is a StartError."""
    namespaces: dict[str, Any] = {}
    for path in sorted(folder.glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        try:
            loaded = aiosql.from_str(text, _Adapter, mandatory_parameters=False)
        except Exception as error:
            raise StartError(f"The statements in {path.name} cannot be read: {error}") from error
        if text.count("\n-- name:") + text.startswith("-- name:") != len(_names(loaded)):
            raise StartError(f"{path.name} names a statement twice.")
        namespaces[path.stem] = loaded
    return SimpleNamespace(**namespaces)


def _names(loaded: Any) -> set[str]:
    """aiosql lists each statement twice: under its name and as its cursor."""
    return {name for name in loaded.available_queries if not name.endswith("_cursor")}


queries: Any = load(packaged_dir("sql"))
