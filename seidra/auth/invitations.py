"""Invitations: a link with which one person makes one account, where registration is closed too.

The token is shown once and kept as its hash. It is used in the transaction that makes the account,
so that of two who come with it at once one gets in.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

from seidra.auth.accounts import name_key
from seidra.auth.limits import check_group
from seidra.database.base import Connection
from seidra.database.queries import queries
from seidra.errors import Forbidden, Invalid, Mistake
from seidra.values import timestamp, timestamp_in

DAYS = 7
"""How long an invitation is good, unless something else is asked for."""

MOST_DAYS = 30

KEPT_SECONDS = 365 * 86_400.0
"""How long an invitation is kept on record after its end."""

_DAY = 86_400.0


class Invitation(NamedTuple):
    """An invitation that was just made; its token is told this once."""

    id: int
    token: str
    expires_at: str

    @property
    def path(self) -> str:
        """The page at which it is used. The token stands behind the #, which no browser sends and
        no log holds."""
        return f"/join#{self.token}"


def invite(
    tx: Connection,
    made_by: int | None,
    *,
    email: str | None = None,
    days: int = DAYS,
    note: str,
    group_id: int | None = None,
) -> Invitation:
    """Make an invitation, for whoever has its link, or for this email alone. `made_by`: the
    administrator, or None for the command line. `group_id`: the group of the account that is made.
    Raises Invalid for one that is none."""
    check_group(tx, group_id)
    token, expires_at = secrets.token_urlsafe(32), timestamp_in(days * _DAY)
    made: int = queries.invitations.create(
        tx,
        digest=_digest_of(token),
        email=email,
        note=note,
        group_id=group_id,
        made_by=made_by,
        now=timestamp(),
        expires_at=expires_at,
    )
    return Invitation(made, token, expires_at)


def check_invitation(connection: Connection, token: str, email: str) -> None:
    """Raise Forbidden for an invitation that is no good (any more), and Invalid where it is for
    another email."""
    found = queries.invitations.open(connection, digest=_digest_of(token), now=timestamp())
    if found is None:
        raise _invalid()
    if found["email"] is not None and name_key(found["email"]) != name_key(email):
        sentence = "Must be the address that was invited."
        raise Invalid({"email": [Mistake(sentence, "not_invited")]})


def use_invitation(tx: Connection, token: str, user_id: int) -> None:
    """Use an invitation for an account that this transaction makes, and put that into its group.
    Raises Forbidden where somebody else was faster, or it was taken back."""
    now = timestamp()
    taken = queries.invitations.take(tx, digest=_digest_of(token), used_by=user_id, now=now)
    if taken is None:
        raise _invalid()
    if taken["group_id"] is not None:
        queries.limits.join(tx, group_id=taken["group_id"], user_id=user_id, now=now)


def _invalid() -> Forbidden:
    return Forbidden(
        "This invitation was used before, was taken back or has expired; ask for another one.",
        code="invitation_invalid",
    )


def _digest_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
