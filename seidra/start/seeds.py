"""The defaults of a fresh instance. Seeding fills in what is absent and never overwrites a person's
change."""

from __future__ import annotations

from seidra.auth import passwords
from seidra.auth.accounts import DEFAULT_USER_SETTINGS, SYSTEM_USER_ID, SYSTEM_USERNAME
from seidra.config import Settings
from seidra.database.base import INSTANCE, Database
from seidra.database.queries import queries
from seidra.values import timestamp, to_json

DEFAULT_NSFW_SETTINGS = {
    "enabled": True,
    "age_verified": True,
    "intensity": "medium",
    "categories": {"suggestive": True, "explicit": False, "violence": False},
    "overrides": {},
}


def seed_system_user(database: Database, settings: Settings) -> None:
    """Make user 1 and hold its password to SEIDRA_DEFAULT_USER_PASSWORD: hashed anew only when it
    changed."""
    password = settings.default_user_password
    with database.transaction(INSTANCE) as tx:
        queries.users.seed(
            tx,
            id=SYSTEM_USER_ID,
            username=SYSTEM_USERNAME,
            email="system@seidra.local",
            settings=to_json({**DEFAULT_USER_SETTINGS, "theme": "ultimate"}),
            now=timestamp(),
        )
        stored = queries.users.password_hash(tx, id=SYSTEM_USER_ID)
    if password is None and stored is not None:
        digest = None
    elif password is not None and (
        stored is None or not passwords.is_right_password(stored, password)
    ):
        digest = passwords.hash_password(password, settings)
    else:
        return
    with database.transaction((INSTANCE, SYSTEM_USER_ID)) as tx:
        queries.users.seed_password(tx, id=SYSTEM_USER_ID, password_hash=digest, now=timestamp())
        queries.users.end_sessions(tx, user_id=SYSTEM_USER_ID, keep="")
        queries.api_keys.end_all(tx, user_id=SYSTEM_USER_ID)


def seed_nsfw_default(database: Database) -> None:
    """Make the instance's NSFW row where there is none."""
    with database.transaction(INSTANCE) as tx:
        queries.nsfw.seed_default(
            tx,
            enabled=DEFAULT_NSFW_SETTINGS["enabled"],
            age_verified=DEFAULT_NSFW_SETTINGS["age_verified"],
            intensity=DEFAULT_NSFW_SETTINGS["intensity"],
            categories=to_json(DEFAULT_NSFW_SETTINGS["categories"]),
            overrides=to_json(DEFAULT_NSFW_SETTINGS["overrides"]),
            now=timestamp(),
        )
