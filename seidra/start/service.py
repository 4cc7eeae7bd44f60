"""The database for scripts, under the names of the initialisation guide. All settings default to
the process's."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from seidra.auth import first_account
from seidra.config import Settings, get_settings
from seidra.database import migrate, open_database
from seidra.database.base import Database, required_row
from seidra.database.queries import queries
from seidra.errors import Problem, StartError
from seidra.start import seeds
from seidra.start.account_keys import compare_names_anew
from seidra.start.search_texts import fold_anew


class DatabaseService:
    """The database for the length of a `with` block. Raises StartError when it is not
    initialised."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or get_settings()
        self.database = open_database(self.settings)

    def __enter__(self) -> Self:
        migrate.check_current(self.settings)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.database.close()

    def get_platform_summary(self) -> dict[str, int]:
        """How much there is: {"users", "personas", "jobs", "media"}, deleted accounts left out."""
        return platform_summary(self.database)


def platform_summary(database: Database) -> dict[str, int]:
    """{"users", "personas", "jobs", "media"}: counts over the whole instance."""
    return dict(required_row(queries.platform.summary(database.connection)))


def init_database(settings: Settings | None = None, *, seed: bool = True) -> list[str]:
    """Make the folders, migrate to head and seed what is absent; returns the migrations applied
    now.

    Idempotent, and safe when several processes start at once. Raises StartError with the one thing
    that is wrong.
    """
    settings = settings or get_settings()
    with migrate.start_lock(settings):
        applied = migrate.apply_migrations(settings)
        database = open_database(settings)
        try:
            fold_anew(database)
            compare_names_anew(database)
            if seed:
                seeds.seed_system_user(database, settings)
                seeds.seed_nsfw_default(database)
            first_account.keep_token(database.connection, settings)
        except (database.errors, Problem) as error:
            raise StartError(
                f"The database {settings.database_place} cannot be initialised: {error}."
            ) from error
        finally:
            # Nothing opened here may live on into a forked server process.
            database.close()
    return applied


def seed_default_user(settings: Settings | None = None) -> None:
    """Seed the account `system`. The database must be migrated."""
    settings = settings or get_settings()
    with DatabaseService(settings) as service, migrate.start_lock(settings):
        seeds.seed_system_user(service.database, settings)


def seed_default_nsfw_settings(settings: Settings | None = None) -> None:
    """Seed the instance's NSFW settings. The database must be migrated."""
    settings = settings or get_settings()
    with DatabaseService(settings) as service, migrate.start_lock(settings):
        seeds.seed_nsfw_default(service.database)
