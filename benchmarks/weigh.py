"""What the house weighs: `make weigh`, or `python -m benchmarks.weigh CHECKOUT` for another state.

The same script weighs every state, so that before and after can be compared: it reads files and
runs nothing of the checkout but its migrations, on an empty database in memory.
"""

from __future__ import annotations

import ast
import configparser
import io
import re
import sqlite3
import statistics
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pglast

from seidra.database.queries import Statement, load_statements, parameters_of

_OWN = {"search", "operations"}
"""The files of sql/ that are each engine's own."""

CORE = ("auth", "jobs", "media", "nsfw", "personas")
"""What every release has: accounts, the queue, pictures, their policy, and looks."""

_OTHERS = "SELECT type, COUNT(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite%' GROUP BY type"
# The tables that FTS5 makes for itself are its own affair.
_TABLES = """
SELECT COUNT(*) FROM pragma_table_list
WHERE type IN ('table', 'virtual') AND name NOT LIKE 'sqlite%'
"""


def weigh(checkout: Path) -> list[tuple[str, str]]:
    """Every figure of a checkout: what it is, and how much."""
    sources = [path for path in python_files(checkout / "seidra") if "mock" not in path.parts]
    texts = [path.read_text(encoding="utf-8") for path in sources]
    trees = [parse(text) for text in texts]
    functions = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = sorted(node.end_lineno - node.lineno + 1 for node in functions if node.end_lineno)
    words = [len(split) for node in functions if (split := name_words(node.name))]
    widths = [width for text in texts for width in code_widths(text)]
    every = [path.read_text(encoding="utf-8") for path in python_files(checkout)]
    statements = list(statements_of(checkout / "sql"))
    return [
        ("files of seidra/, without engines/mock", f"{len(sources)}"),
        ("lines", f"{sum(text.count(chr(10)) for text in texts):,}"),
        ("lines of code, without blanks, comments and documentation", f"{len(widths):,}"),
        (f"tokens of code of the core ({', '.join(CORE)})", f"{core_tokens(checkout):,}"),
        ("settings", f"{count_settings(checkout)}"),
        *schema_counts(checkout / "migrations"),
        ("statements", f"{len(statements)}"),
        ("texts of statements, the variants of families counted", f"{len(texts_of(statements))}"),
        ("texts that PostgreSQL's parser refuses", f"{count_refused(statements, portable=False)}"),
        ("of them outside of search.sql and operations.sql", f"{count_refused(statements)}"),
        ("requirements", f"{count_requirements(checkout)}"),
        ("functions", f"{len(functions)}"),
        (
            "lines of a function: median, of ten the longest, the longest",
            f"{statistics.median(lengths):g}, {lengths[len(lengths) * 9 // 10]}, {lengths[-1]}",
        ),
        ("words in a function's name, mean", f"{statistics.mean(words):.2f}"),
        ("width of a line of code, mean", f"{statistics.mean(widths):.1f}"),
        ("lines over 100 wide", f"{share_wide(texts):.1%}"),
        ("`fmt: skip`, in all Python of the checkout", f"{count_comments(every, 'fmt: skip')}"),
        ("`Any`", f"{count_any(trees)}"),
        ("`type: ignore`", f"{count_comments(texts, 'type: ignore')}"),
    ]


def python_files(folder: Path) -> list[Path]:
    """The Python files below a folder, without those that somebody else wrote."""
    return [
        path
        for path in sorted(folder.rglob("*.py"))
        if not any(
            part.startswith(".") or part == "build" for part in path.parts[len(folder.parts) :]
        )
    ]


def name_words(name: str) -> list[str]:
    """The words of a function's name; none for the names that Python gives a meaning."""
    return [] if name.startswith("__") else [word for word in name.split("_") if word]


@cache
def parse(text: str) -> ast.Module:
    """The tree of a text; several figures are read from one."""
    return ast.parse(text)


@cache
def code_tokens(text: str) -> list[tokenize.TokenInfo]:
    """The tokens of what is code: no blank, comment or documentation."""
    documentation = {
        line
        for node in ast.walk(parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    return [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in silent | {tokenize.ENDMARKER} and token.start[0] not in documentation
    ]


def code_widths(text: str) -> list[int]:
    """How wide each line is that holds code."""
    coded = {
        line for token in code_tokens(text) for line in range(token.start[0], token.end[0] + 1)
    }
    lines = text.split("\n")
    return [len(lines[number - 1].rstrip()) for number in sorted(coded)]


def core_tokens(checkout: Path) -> int:
    """How many tokens of code the core has, however its lines are broken."""
    return sum(
        len(code_tokens(path.read_text(encoding="utf-8")))
        for part in CORE
        for path in python_files(checkout / "seidra" / part)
    )


def share_wide(texts: list[str]) -> float:
    """The share of lines that are wider than 100 characters, of those that are not blank."""
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    return sum(len(line) > 100 for line in lines) / len(lines)


def count_settings(checkout: Path) -> int:
    """How many settings are declared anywhere in seidra/."""
    return sum(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("_setting", "setting")
        for path in python_files(checkout / "seidra")
        for node in ast.walk(parse(path.read_text(encoding="utf-8")))
    )


def count_requirements(checkout: Path) -> int:
    """How many packages an installation asks for, extras aside."""
    parser = configparser.ConfigParser()
    parser.read(checkout / "setup.cfg")
    required = parser["options"]["install_requires"].split("\n")
    return sum(bool(line) and not line.startswith("#") for line in required)


def schema_counts(migrations: Path) -> list[tuple[str, str]]:
    """How many tables, indexes, triggers and views there are once all migrations are applied."""
    connection = sqlite3.connect(":memory:")
    for path in sorted(migrations.glob("*.sql")):
        if not path.name.endswith(".rollback.sql"):
            connection.executescript(path.read_text(encoding="utf-8"))
    others = dict(connection.execute(_OTHERS).fetchall())
    tables = connection.execute(_TABLES).fetchone()[0]
    connection.close()
    return [
        ("tables", f"{tables}"),
        ("indexes", f"{others.get('index', 0)}"),
        ("triggers", f"{others.get('trigger', 0)}"),
        ("views", f"{others.get('view', 0)}"),
    ]


def statements_of(folder: Path) -> Iterator[Statement]:
    """The statements of a folder sql/."""
    for namespace in vars(load_statements(folder)).values():
        yield from vars(namespace).values()


def texts_of(statements: list[Statement]) -> list[str]:
    """Every variant of the statements as SQLite runs it."""
    return [
        text
        for statement in statements
        if "sqlite" in statement.engines
        for text in statement.variants("sqlite").values()
    ]


def count_refused(statements: list[Statement], *, portable: bool = True) -> int:
    """How many texts PostgreSQL's own parser cannot read; `portable`: of the files both run."""
    chosen = [each for each in statements if not (portable and each.name.split(".")[0] in _OWN)]
    return sum(is_refused(text) for text in texts_of(chosen))


@cache
def is_refused(sql: str) -> bool:
    """Whether PostgreSQL's own parser cannot read a text."""
    try:
        pglast.parse_sql(numbered(sql))
    except pglast.parser.ParseError:
        return True
    return False


def numbered(sql: str) -> str:
    """A text with the names of what it binds as PostgreSQL's numbers; quoted text stays."""
    numbers = {name: f"${number}" for number, name in enumerate(parameters_of(sql), 1)}
    return re.sub(
        r"'[^']*'|(?<![:\w]):([a-z]\w*)",
        lambda found: numbers[found[1]] if found[1] else found[0],
        sql,
    )


def count_any(trees: list[ast.Module]) -> int:
    """How often `Any` is written, imports aside."""
    return sum(
        isinstance(node, ast.Name) and node.id == "Any" for tree in trees for node in ast.walk(tree)
    )


def count_comments(texts: list[str], part: str) -> int:
    """How many comments hold a part."""
    return sum(
        token.type == tokenize.COMMENT and part in token.string
        for text in texts
        if part in text
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
    )


def main(checkout: Path) -> None:
    """Print the table."""
    print("| What | How much |\n|---|---|")
    for what, how_much in weigh(checkout):
        print(f"| {what} | {how_much} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
