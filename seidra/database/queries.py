"""The statements of `sql/*.sql` as functions: `queries.personas.get(connection, user_id=...,
id=...)`.

The file's stem is the namespace. The suffix of a statement's name says what a call returns: none a
list of rows, `^` a row or None, `$` a value or None, `!` the number of rows changed, `*!` the same
for many parameter sets.

A comment line `family: WORD NAME: TEXT` below the purpose makes a statement a family. The first
line of a WORD gives a piece of the text as it stands, each further one what may stand in its place,
and a call names one of them: `queries.personas.page(connection, order="name", ...)`. So what
chooses an index or an order stays plain SQL, and the choice is a closed list.

Each engine runs the text of `sql/`, or the one of the same name in `sql/<engine>/`; what only
stands there is that engine's alone. Which engine that is, the connection says. Parameters are
written `:name` for all of them, and turned into what the driver takes once, here. The types of all
this, statement by statement, stand in `statements.pyi` (`make format` writes it).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from aiosql.adapters.generic import GenericAdapter
from aiosql.query_loader import QueryLoader
from aiosql.types import QueryDatum, SQLOperationType

from seidra.config import packaged_dir
from seidra.errors import StartError

if TYPE_CHECKING:
    from seidra.database.base import Connection, Row
    from seidra.database.statements import Queries

ENGINES = ("sqlite", "postgresql")
"""The engines that there are texts for, and folders in sql/ of what is theirs."""

_FAMILY = re.compile(r"family: (\w+) ([\w-]+):(?: (.*))?")


def _fetch_rows(connection: Connection, sql: str, parameters: object) -> list[Row]:
    rows: list[Row] = connection.execute(sql, parameters).fetchall()
    return rows


def _fetch_row(connection: Connection, sql: str, parameters: object) -> Row | None:
    cursor = connection.execute(sql, parameters)
    row: Row | None = cursor.fetchone()
    # An unfetched RETURNING would hold the write lock.
    cursor.close()
    return row


def _fetch_value(connection: Connection, sql: str, parameters: object) -> Any:
    row = _fetch_row(connection, sql, parameters)
    return None if row is None else row[0]


def _count_changed(connection: Connection, sql: str, parameters: object) -> int:
    cursor = connection.execute(sql, parameters)
    count: int = cursor.rowcount
    cursor.close()
    return count


def _count_changed_by_many(connection: Connection, sql: str, parameters: object) -> int:
    cursor = connection.executemany(sql, parameters)
    count: int = cursor.rowcount
    cursor.close()
    return count


SHAPES: dict[SQLOperationType, tuple[Callable[[Connection, str, object], object], str]] = {
    SQLOperationType.SELECT: (_fetch_rows, "list[Row]"),
    SQLOperationType.SELECT_ONE: (_fetch_row, "Row | None"),
    SQLOperationType.SELECT_VALUE: (_fetch_value, "Any"),
    SQLOperationType.INSERT_UPDATE_DELETE: (_count_changed, "int"),
    SQLOperationType.INSERT_UPDATE_DELETE_MANY: (_count_changed_by_many, "int"),
}
"""How a statement runs, and the type of what it returns, by the suffix of its name."""


@dataclass(frozen=True)
class _Text:
    """A statement as its file gives it: its variants' texts by the names chosen, in the order of
    `choices`."""

    operation: SQLOperationType
    purpose: str
    choices: Mapping[str, tuple[str, ...]]
    variants: Mapping[tuple[str, ...], str]


class Statement:
    """One statement, or a family of them; a call runs the text of its connection's engine."""

    def __init__(self, name: str, texts: Mapping[str, _Text]) -> None:
        first = next(iter(texts.values()))
        self.name = name
        self.engines = tuple(texts)
        self.purpose = first.purpose
        self.choices = first.choices
        self.operation = first.operation
        self._run, self.returns = SHAPES[first.operation]
        self._variants = {engine: text.variants for engine, text in texts.items()}
        self._ready = {
            engine: {chosen: _DRIVERS[engine](sql) for chosen, sql in text.variants.items()}
            for engine, text in texts.items()
        }

    @property
    def many(self) -> bool:
        """Whether a call takes many parameter sets, in a list."""
        return self.operation is SQLOperationType.INSERT_UPDATE_DELETE_MANY

    def variants(self, engine: str) -> Mapping[tuple[str, ...], str]:
        """The texts for an engine, as they are written; without choices the only one has the empty
        key."""
        return self._variants[engine]

    def parameters(self) -> list[str]:
        """The names of what is bound, in order of appearance; one engine may leave out some of
        them."""
        return list(
            dict.fromkeys(
                name
                for variants in self._variants.values()
                for text in variants.values()
                for name in parameters_of(text)
            )
        )

    def __call__(self, connection: Connection, sets: object = None, /, **parameters: Any) -> Any:
        chosen = tuple([parameters.pop(word) for word in self.choices])
        sql = self._ready[connection.engine][chosen]
        return self._run(connection, sql, parameters if sets is None else sets)


_PIECE = re.compile(r"'[^']*'|(?<![:\w]):(?P<name>[a-z]\w*)|%")
"""What a driver may read otherwise than it is meant: literals, parameters, and percent signs."""


def parameters_of(sql: str) -> list[str]:
    """The names of what a text binds, each once."""
    return list(dict.fromkeys(piece["name"] for piece in _PIECE.finditer(sql) if piece["name"]))


def _for_psycopg(sql: str) -> str:
    """A text with its parameters as psycopg writes them, where a percent sign stands for itself
    when there are two."""
    return _PIECE.sub(
        lambda piece: f"%({piece['name']})s" if piece["name"] else piece[0].replace("%", "%%"), sql
    )


_DRIVERS: dict[str, Callable[[str], str]] = {"sqlite": str, "postgresql": _for_psycopg}
"""How each engine's driver wants a text."""


def load_statements(folder: Path, engines: Iterable[str] = ENGINES) -> SimpleNamespace:
    """Load every file of `folder`, with what `folder/<engine>/` has instead of it, or beside it.

    A statement that is named twice, that cannot be read, whose family does not fit, or that two
    engines would be called for differently is a StartError.
    """
    shared = _read_folder(folder)
    own = {engine: _read_folder(folder / engine) for engine in engines}
    names = {*shared, *itertools.chain.from_iterable(own.values())}
    namespaces: dict[str, SimpleNamespace] = {}
    for namespace, name in sorted(names):
        texts = {}
        for engine in engines:
            text = own[engine].get((namespace, name)) or shared.get((namespace, name))
            if text is not None:
                texts[engine] = text
        if len({(text.operation, tuple(text.choices.items())) for text in texts.values()}) > 1:
            raise StartError(
                f"The statement {namespace}.{name} has texts that are called differently."
            )
        statement = Statement(f"{namespace}.{name}", texts)
        vars(namespaces.setdefault(namespace, SimpleNamespace()))[name] = statement
    return SimpleNamespace(**namespaces)


def _read_folder(folder: Path) -> dict[tuple[str, str], _Text]:
    """Every statement of a folder's files, by namespace and name; none where there is no such
    folder."""
    found: dict[tuple[str, str], _Text] = {}
    for path in sorted(folder.glob("*.sql")):
        for datum in _read_file(path):
            key = (path.stem, datum.query_name)
            if key in found:
                raise StartError(f"{path.name} names the statement {datum.query_name} twice.")
            if datum.operation_type not in SHAPES:
                raise StartError(
                    f"{path.name}: the suffix of {datum.query_name} is not one that is used here."
                )
            found[key] = _text_of(path, datum)
    return found


def _read_file(path: Path) -> list[QueryDatum]:
    loader = QueryLoader(GenericAdapter(), None, mandatory_parameters=False)  # type: ignore[no-untyped-call]
    try:
        return list(loader.load_query_data_from_sql(path.read_text(encoding="utf-8"), [], path))
    except Exception as error:
        raise StartError(f"The statements in {path.name} cannot be read: {error}") from error


def _text_of(path: Path, datum: QueryDatum) -> _Text:
    pieces: dict[str, dict[str, str]] = {}
    purpose = []
    for line in datum.doc_comments.splitlines():
        if match := _FAMILY.fullmatch(line):
            word, name, text = match.groups()
            pieces.setdefault(word, {})[name] = text or ""
        else:
            purpose.append(line)
    variants = {}
    for names in itertools.product(*pieces.values()):
        sql = datum.sql
        for (word, texts), name in zip(pieces.items(), names, strict=True):
            first = next(iter(texts.values()))
            # A whole piece: `is_nsfw` is not the end of `m.is_nsfw`. It may be broken into lines.
            written = re.escape(first).replace(r"\ ", r"\s+")
            standing = re.compile(rf"(?<![\w.]){written}(?!\w)")
            if not first or not standing.search(sql):
                raise StartError(
                    f"{path.name}: the first text of {word} does not stand in {datum.query_name}."
                )
            sql = standing.sub(texts[name].replace("\\", r"\\"), sql)
        variants[names] = sql
    choices = {word: tuple(texts) for word, texts in pieces.items()}
    return _Text(datum.operation_type, " ".join(purpose), choices, variants)


queries = cast("Queries", load_statements(packaged_dir("sql")))
