"""The database. The guide's names are importable from here."""

from seidra.database.service import DatabaseService, init_database, seed_default_nsfw_settings, seed_default_user

__all__ = ["DatabaseService", "init_database", "seed_default_nsfw_settings", "seed_default_user"]
