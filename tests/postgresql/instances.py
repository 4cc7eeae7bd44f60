"""A PostgreSQL database for each test: on the server that SEIDRA_TEST_POSTGRESQL names, or on one
that the tests start."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import CHEAP

from seidra.config import Settings
from seidra.database import open_database
from seidra.database.base import Database
from seidra.start.service import init_database

psycopg = pytest.importorskip("psycopg", reason="PostgreSQL's driver is an extra")

from postgresql_server import URL_VARIABLE, postgresql_server  # noqa: E402 (it needs the driver)


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
    name = f"seidra_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        settings = Settings.load(
            {
                **CHEAP,
                "SEIDRA_DATABASE_URL": f"{server.rpartition('/')[0]}/{name}",
                "SEIDRA_DATA_DIR": str(tmp_path / "data"),
                "SEIDRA_JWT_SECRET": "0123456789abcdef0123456789abcdef",
            }
        )
        init_database(settings)
        yield settings
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def pg(pg_settings: Settings) -> Iterator[Database]:
    """Its database."""
    database = open_database(pg_settings)
    yield database
    database.close()
