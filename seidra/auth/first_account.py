"""The first account: who may make it. On loopback anybody who comes; else who has the setup token,
which is kept in the data folder until the account is there."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
from pathlib import Path

from seidra.config import Settings, kept_secret
from seidra.database.base import Connection
from seidra.database.queries import queries
from seidra.errors import StartError


def is_missing(connection: Connection) -> bool:
    """Whether no person has ever made an account here."""
    return queries.platform.state(connection, name="first_person") is None


def needs_token(settings: Settings, peer: str | None = None) -> bool:
    """Whether the first account takes the setup token, of a `peer` or, without one, of anybody who
    reaches where the settings listen. Closed registration is closed to loopback too: a proxy that
    nobody told of may stand there."""
    return (
        settings.registration != "open"
        or settings.public_url is not None
        or settings.trusted_proxies > 0
        or not _is_loopback(settings.bind.rpartition(":")[0].strip("[]"))
        or (peer is not None and not _is_loopback(peer))
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


# ---------------------------------------------------------------------------------------- the token


def token_file(settings: Settings) -> Path:
    """Where the setup token lies."""
    return settings.data_dir / "setup.token"


def keep_token(connection: Connection, settings: Settings) -> None:
    """Make the setup token where there is no account of a person and no token yet; forget it where
    there is one. Raises StartError when the file cannot be written."""
    if not is_missing(connection):
        forget_token(settings)
        return
    try:
        kept_secret(token_file(settings), 24)
    except OSError as error:
        raise StartError(
            f"The setup token {token_file(settings)} cannot be used: {error}."
        ) from None


def is_right_token(settings: Settings, given: str) -> bool:
    """Whether this is the setup token, which all processes share."""
    try:
        stored = token_file(settings).read_text().strip()
    except OSError:
        return False
    return bool(stored) and hmac.compare_digest(stored.encode(), given.encode())


def forget_token(settings: Settings) -> None:
    """Remove the setup token: the first account is there."""
    # Whoever cannot remove it leaves it to the next start; it opens nothing any more.
    with contextlib.suppress(OSError):
        token_file(settings).unlink()


def setup_link(connection: Connection, settings: Settings) -> str | None:
    """The address at which the first account is made, with the setup token; None where there is an
    account, or where none is needed."""
    if not is_missing(connection) or not needs_token(settings):
        return None
    try:
        token = token_file(settings).read_text().strip()
    except OSError:
        return None
    return f"{base_url(settings)}/setup#{token}"


def base_url(settings: Settings) -> str:
    """Where a browser finds the studio, as far as the settings tell."""
    if settings.public_url:
        return settings.public_url
    if settings.bind.startswith("unix:"):
        return "http://localhost"
    host, _, port = settings.bind.rpartition(":")
    # Of every address of the machine this is one that always works.
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"  # noqa: S104
