"""The app on PostgreSQL, by HTTP: what asks for a file on SQLite."""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Person
from instances import new_database, pg_settings, server, settings_of

from seidra import create_app
from seidra.config import Settings
from seidra.database import open_database
from seidra.database.base import INSTANCE, Connection
from seidra.database.postgresql import migrate
from seidra.database.queries import queries
from seidra.errors import StartError, Unavailable
from seidra.operations import checks
from seidra.platform import metrics
from seidra.start.service import init_database
from seidra.web.services import services_of

__all__ = ["pg_settings", "server"]
"""The fixtures."""

pytestmark = pytest.mark.slow


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


def server_check(settings: Settings) -> checks.Check:
    (found,) = (check for check in checks.examine(settings) if check.name == "server")
    return found


def test_the_doctor_tells_the_server(
    pg_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {check.name: check for check in checks.examine(pg_settings)}
    assert {name for name, check in found.items() if check.state == checks.FAIL} == set()
    assert found["server"].state == checks.OK
    assert found["server"].seen.startswith("PostgreSQL 1")
    assert found["server"].seen.endswith("UTF8, letters by C.UTF-8.")
    monkeypatch.setattr(migrate, "OLDEST_SERVER", 990000)
    assert server_check(pg_settings).state == checks.FAIL
    assert server_check(pg_settings).seen.endswith("is too old; SEIDRA needs 99.")


def test_the_doctor_worries_about_a_locale_without_letters(server: str, tmp_path: Path) -> None:
    with new_database(server, "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'") as url:
        settings = settings_of(url, tmp_path / "data")
        init_database(settings)
        found = server_check(settings)
    assert found.state == checks.WARN
    assert "(C) knows no letters beyond ASCII" in found.seen


def test_a_database_in_another_encoding_is_refused(server: str, tmp_path: Path) -> None:
    with new_database(server, "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'") as url:
        settings = settings_of(url, tmp_path / "data")
        with pytest.raises(StartError, match="keeps its texts in LATIN1; SEIDRA needs UTF8"):
            init_database(settings)


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
