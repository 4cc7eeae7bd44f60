"""Writes `statements.pyi`: what mypy and editors know of each statement. `python -m
seidra.database.stub`."""

from __future__ import annotations

from pathlib import Path

from seidra.database.queries import Statement, queries

PATH = Path(__file__).with_name("statements.pyi")

_HEAD = """\
# The types of the statements in sql/, written by `make format`; tests/test_sql.py compares.

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from seidra.database.base import Connection, Row
"""


def stub_text() -> str:
    """The text of `statements.pyi`."""
    namespaces = vars(queries)
    classes = [
        _class_of(namespace, vars(statements)) for namespace, statements in namespaces.items()
    ]
    whole = "\n".join(f"    {namespace}: {_class_name(namespace)}" for namespace in namespaces)
    return "\n".join([_HEAD, *classes, f"class Queries:\n{whole}\n"])


def _class_name(namespace: str) -> str:
    return f"_{namespace.title().replace('_', '')}"


def _class_of(namespace: str, statements: dict[str, Statement]) -> str:
    lines = [
        f"    def {name}({_call_signature(statement)}) -> {statement.returns}: ..."
        for name, statement in statements.items()
    ]
    return "\n".join([f"class {_class_name(namespace)}:", *lines, ""])


def _call_signature(statement: Statement) -> str:
    first = "self, connection: Connection"
    if statement.many:
        return f"{first}, sets: Iterable[Mapping[str, object]], /"
    chosen = [
        f"{word}: Literal[{', '.join(map(repr, names))}]"
        for word, names in statement.choices.items()
    ]
    named = [*chosen, *(f"{name}: object" for name in statement.parameters())]
    return f"{first}, /, *, {', '.join(named)}" if named else f"{first}, /"


if __name__ == "__main__":
    PATH.write_text(stub_text(), encoding="utf-8")
