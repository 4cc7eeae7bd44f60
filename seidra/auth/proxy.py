"""Login by a header of a reverse proxy that has asked who comes (Authelia, oauth2-proxy, ...).

The header is believed of the peers that SEIDRA_AUTH_PROXIES names alone: of the socket's own peer,
and not of what X-Forwarded-For says. Of anybody else it is as if it were not there.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import threading
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from wsgiref.types import WSGIEnvironment

from marshmallow import ValidationError

from seidra.auth import accounts, first_account
from seidra.auth.schemas import Email, Username
from seidra.config import Settings
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.errors import Conflict, Forbidden, Unauthorized

_UNIX = "unix"
_LOG_SECONDS = 60.0
_MOST_NUMBERS = 100

_log = logging.getLogger(__name__)


class Visitor(NamedTuple):
    """Whom the proxy says: a username, or an email in its place; and an email beside it."""

    name: str
    email: str | None

    @property
    def is_email(self) -> bool:
        """Whether the proxy knows people by their email."""
        return "@" in self.name


class _Ignored:
    """Headers of peers that may set none: counted, and told once a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._told_at = float("-inf")

    def tell(self, peer: str, header: str) -> None:
        with self._lock:
            self._count += 1
            now = time.monotonic()
            if now - self._told_at < _LOG_SECONDS:
                return
            count, self._count, self._told_at = self._count, 0, now
        _log.warning(
            "%s was ignored %d times: %s is not in SEIDRA_AUTH_PROXIES",
            header,
            count,
            peer or _UNIX,
        )


_ignored = _Ignored()


def read_visitor(environ: WSGIEnvironment, settings: Settings) -> Visitor:
    """Whom a named proxy says. Raises Unauthorized where none does, or what it says is no name."""
    header = settings.auth_header
    given = None if header is None else environ.get(_variable(header))
    if header is None or not given or not given.strip():
        raise _no_login("No proxy in front has said who you are.")
    peer = _socket_peer(environ)
    if not _is_named(peer, settings.auth_proxies):
        _ignored.tell(peer, header)
        raise _no_login("No proxy in front has said who you are.")
    name = _decoded(given)
    try:
        field = Email() if name is not None and "@" in name else Username()
        name = field.deserialize(name)
    except ValidationError:
        # Two headers of that name come as one with a comma between them, which is in no name.
        raise _no_login(f"What the proxy says in {header} is neither username nor email.") from None
    return Visitor(name, _email_beside(environ, settings))


def _no_login(sentence: str) -> Unauthorized:
    return Unauthorized(sentence, error=None, code="no_proxy_login")


def _email_beside(environ: WSGIEnvironment, settings: Settings) -> str | None:
    if settings.auth_email_header is None:
        return None
    try:
        email: str = Email().deserialize(
            _decoded(environ.get(_variable(settings.auth_email_header), ""))
        )
    except ValidationError:
        return None
    return email


def _variable(header: str) -> str:
    return f"HTTP_{header.upper().replace('-', '_')}"


def _decoded(given: str) -> str | None:
    """A header as text: WSGI has each of its bytes as a character. None where it is no UTF-8."""
    try:
        return given.strip().encode("latin-1").decode()
    except UnicodeError:
        return None


def _socket_peer(environ: WSGIEnvironment) -> str:
    """Who is at the other end of the socket, before X-Forwarded-For was looked at; "" of a unix
    socket."""
    before = environ.get("werkzeug.proxy_fix.orig", environ)
    return before.get("REMOTE_ADDR") or ""


@lru_cache(maxsize=1024)
def _is_named(peer: str, named: tuple[str, ...]) -> bool:
    if not peer:
        return _UNIX in named
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in _networks(named))


def _networks(named: Iterable[str]) -> Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return (ipaddress.ip_network(each) for each in named if each != _UNIX)


# -------------------------------------------------------------------------------------- the account


def find_account(connection: Connection, visitor: Visitor) -> Row | None:
    """The visitor's account, or None. Raises Forbidden for the system account, which nobody logs in
    to by a name alone."""
    found = accounts.find_account(connection, visitor.name)
    if found is not None:
        accounts.check_not_system(found["id"])
    return found


def no_account() -> Forbidden:
    """For a visitor who has no account, and gets none."""
    return Forbidden(
        "You have no account here; ask an administrator for one under the name that the proxy"
        " knows you by.",
        code="no_account",
    )


def create_account(tx: Connection, visitor: Visitor, language: str) -> Row:
    """Make the account of somebody who comes for the first time; it has no password.

    Never the first one of the instance, which is the administrator: whoever comes first through a
    proxy need not be whom the operator meant. Raises Forbidden then, and Conflict for an email that
    somebody has.
    """
    if first_account.is_missing(tx):
        raise Forbidden(
            "There is no administrator yet: the operator makes the first account, with the setup"
            " token or `flask users create`.",
            code="no_account",
        )
    if visitor.is_email:
        return accounts.create_account(
            tx, _free_username(tx, visitor.name), visitor.name, None, language=language
        )
    # Of a top-level domain that leads nowhere (RFC 2606), where the proxy tells no address.
    email = visitor.email or f"{visitor.name}@seidra.invalid"
    return accounts.create_account(tx, visitor.name, email, None, language=language)


def _free_username(tx: Connection, email: str) -> str:
    """A username like the first part of an email."""
    start = re.sub(r"[^A-Za-z0-9._-]+", "-", email.partition("@")[0])[:40].strip("-.") or "user"
    for number in range(1, _MOST_NUMBERS):
        name = start if number == 1 and len(start) >= 3 else f"{start}-{number}"
        if queries.users.by_username(tx, key=accounts.name_key(name)) is None:
            return name
    raise Conflict("This username is taken.", "username", code="name_taken")
