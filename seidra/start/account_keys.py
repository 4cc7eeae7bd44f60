"""The forms in which names of accounts are compared: made anew where this version makes them
otherwise."""

from __future__ import annotations

import logging

from seidra.auth.accounts import NAME_KEYS, name_key
from seidra.database.base import INSTANCE, Database
from seidra.database.queries import queries
from seidra.errors import Conflict
from seidra.values import timestamp

_BATCH = 1000
_log = logging.getLogger(__name__)


def compare_names_anew(database: Database) -> None:
    """Write the keys of all accounts as `name_key` makes them, once for each way of making them."""
    if queries.platform.state(database.connection, name="name_keys") == NAME_KEYS:
        return
    after = 0
    while rows := queries.users.names(database.connection, after=after, limit=_BATCH):
        after = rows[-1]["id"]
        for row in rows:
            keys = (name_key(row["username"]), name_key(row["email"]))
            if keys != (row["username_key"], row["email_key"]):
                _write_keys(database, row["id"], *keys)
    with database.transaction(INSTANCE) as tx:
        queries.platform.remember(tx, name="name_keys", value=NAME_KEYS, now=timestamp())


def _write_keys(database: Database, user_id: int, username_key: str, email_key: str) -> None:
    try:
        with database.transaction(INSTANCE) as tx:
            queries.users.update_keys(
                tx, id=user_id, username_key=username_key, email_key=email_key
            )
    except Conflict:
        # Two forms of one name, from before they were one: it stays as it was.
        _log.warning("account %d has a name that another account has in another form", user_id)
