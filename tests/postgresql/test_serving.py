"""The app on PostgreSQL, by HTTP: what asks for a file on SQLite."""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing

import pytest
from conftest import Person
from instances import pg_settings, server

from seidra import create_app
from seidra.config import Settings
from seidra.database import open_database
from seidra.database.base import INSTANCE, Connection
from seidra.database.queries import queries
from seidra.errors import Unavailable
from seidra.platform import metrics
from seidra.web.services import services_of

__all__ = ["pg_settings", "server"]
"""The fixtures."""

pytestmark = pytest.mark.processes


def test_administrators_and_metrics_are_told_the_size(pg_settings: Settings) -> None:
    app = create_app(pg_settings)
    database = services_of(app).database
    try:
        instance = Person(app, "admin").get("/api/admin/instance")
        assert instance.status_code == 200, instance.text
        assert instance.get_json()["disk"]["database_bytes"] > 1_000_000
        # Asked as /metrics asks it, without the files that count over processes.
        gauges = {gauge.name: gauge for gauge in metrics._State(database, pg_settings).collect()}
        assert gauges["seidra_database_bytes"].samples[0].value > 1_000_000
        (free,) = gauges["seidra_disk_free_bytes"].samples
        assert free.labels == {"folder": "media"}
    finally:
        database.close()


def _ping_late(tx: Connection) -> None:
    time.sleep(1)
    queries.platform.ping(tx)


def test_a_transaction_that_stands_still_for_too_long_is_503(pg_settings: Settings) -> None:
    impatient = "options=-c%20idle_in_transaction_session_timeout%3D50"
    url = f"{pg_settings.database_url}?{impatient}"
    with closing(open_database(dataclasses.replace(pg_settings, database_url=url))) as database:
        with pytest.raises(Unavailable), database.transaction(INSTANCE) as tx:
            _ping_late(tx)
        # The next one has a connection of its own.
        with database.transaction(INSTANCE) as tx:
            assert queries.platform.ping(tx)
