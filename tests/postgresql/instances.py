"""A PostgreSQL database for each test: on the server that SEIDRA_TEST_POSTGRESQL names, or on one
that the tests start."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import CHEAP

from seidra.config import Settings
from seidra.database import open_database
from seidra.database.base import Database
from seidra.start.service import init_database

psycopg = pytest.importorskip("psycopg", reason="PostgreSQL's driver is an extra")

from postgresql_server import URL_VARIABLE, postgresql_server  # noqa: E402 (it needs the driver)


@contextmanager
def new_database(server: str, options: str = "") -> Iterator[str]:
    """The URL of a database of a server's, empty, which is dropped in the end. `options`: of CREATE
    DATABASE."""
    name = f"seidra_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name} {options}")
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


def settings_of(url: str, data: Path) -> Settings:
    """The settings of an instance whose database this is, with its files in a folder."""
    return Settings.load(
        {
            **CHEAP,
            "SEIDRA_DATABASE_URL": url,
            "SEIDRA_DATA_DIR": str(data),
            "SEIDRA_JWT_SECRET": "0123456789abcdef0123456789abcdef",
        }
    )


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server's own database, where others can be made."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgresql_server())
        except (RuntimeError, OSError) as error:
            pytest.skip(f"there is no server of PostgreSQL: {error}")
        # One that is given names a database already.
        yield url if os.environ.get(URL_VARIABLE) else f"{url}/postgres"


@pytest.fixture
def pg_settings(server: str, tmp_path: Path) -> Iterator[Settings]:
    """The settings of a fresh instance on PostgreSQL."""
    with new_database(server) as url:
        settings = settings_of(url, tmp_path / "data")
        init_database(settings)
        yield settings


@pytest.fixture
def pg(pg_settings: Settings) -> Iterator[Database]:
    """Its database."""
    database = open_database(pg_settings)
    yield database
    database.close()
