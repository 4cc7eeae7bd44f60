"""What the text of an environment variable means.

Each parser takes the text and returns its value, or raises ValueError with the rule that was
broken.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import limits

from seidra.common_passwords import is_common

SQLITE = "sqlite:///"
"""How the URL of an SQLite database begins."""


def text(value: str) -> str:
    """Any text."""
    return value


def instance_name(value: str) -> str:
    """One line of at most 50 characters."""
    name = value.strip()
    if len(name) > 50 or not name.isprintable():
        raise ValueError("must be one line of at most 50 characters")
    return name


def flag(value: str) -> bool:
    """true or false, in the usual spellings."""
    known = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    try:
        return known[value.strip().lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def integer(low: int, high: int) -> Callable[[str], int]:
    """A parser for whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"must be a whole number from {low} to {high}") from None
        if not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return number

    return parse


def choice(*names: str) -> Callable[[str], str]:
    """A parser for one of these names, whatever its case."""

    def parse(value: str) -> str:
        if value.strip().lower() not in names:
            raise ValueError(f"must be one of: {', '.join(names)}")
        return value.strip().lower()

    return parse


_ORIGIN = re.compile(r"([a-z][a-z0-9+.\-]*)://([a-z0-9.\-_]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?")
_NO_ORIGINS = {"file", "ftp", "data", "blob", "about", "javascript", "ws", "wss"}
"""Schemes whose documents have no origin of their own, or that are none of documents."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


def origins(value: str) -> tuple[str, ...]:
    """A comma list of origins as browsers send them, without `*` and `null`: of web pages, and of
    apps such as tauri://localhost."""
    given = (part.strip().rstrip("/") for part in value.split(",") if part.strip())
    return tuple(dict.fromkeys(map(_browser_origin, given)))


def _browser_origin(given: str) -> str:
    """An origin in the one form that browsers send: lower case, no default port, IPv6 shortened."""
    rule = f"must list origins such as https://studio.example, not {given!r}"
    match = _ORIGIN.fullmatch(given.lower())
    if not match or match[1] in _NO_ORIGINS:
        raise ValueError(rule)
    scheme, host, port = match[1], match[2], match[3]
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            raise ValueError(rule) from None
    if port is None or int(port) == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    if not 0 < int(port) < 65_536:
        raise ValueError(rule)
    return f"{scheme}://{host}:{int(port)}"


def public_url(value: str) -> str:
    """An http(s) URL without query, its last slash cut off."""
    rule = "must be an http(s) URL without query, such as https://studio.example"
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(rule) from None
    if not valid or not re.fullmatch(r"[^\s?#@\\]+", value):
        raise ValueError(rule)
    return value.rstrip("/")


_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
_BUCKET_OPTIONS = ("endpoint", "region", "public")


@dataclass(frozen=True)
class Bucket:
    """Where a bucket is. `endpoint`: of the server, None for Amazon's; `public`: how browsers
    reach that, where it is otherwise."""

    name: str
    prefix: str
    endpoint: str | None
    region: str
    public: str | None


def bucket(value: str) -> Bucket:
    """The bucket that a URL such as s3://bucket/prefix?endpoint=https://s3.example names. Raises
    ValueError for any other text."""
    rule = "must be s3://bucket, or s3://bucket/prefix?endpoint=https://s3.example&region=eu-west-1"
    try:
        parts = urlsplit(value)
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(rule) from None
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc) or parts.fragment:
        raise ValueError(rule)
    if prefix and not re.fullmatch(r"[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*", prefix):
        raise ValueError(
            "must have a prefix of letters, digits, - and _, such as s3://bucket/seidra"
        )
    if unknown := sorted(set(options) - set(_BUCKET_OPTIONS)):
        # Of an option that could be a secret only the name is told.
        raise ValueError(f"takes the options {', '.join(_BUCKET_OPTIONS)}, not {unknown[0]!r}")
    found = {name: texts[-1] for name, texts in options.items()}
    for name in ("endpoint", "public"):
        if name in found and not re.fullmatch(r"https?://[^\s/?#@\\]+/?", found[name]):
            raise ValueError(
                f"must have as {name} the origin of a server, such as https://s3.example"
            )
    if not re.fullmatch(r"[a-z0-9\-]{1,50}", region := found.get("region", "us-east-1")):
        raise ValueError("must have a region such as eu-west-1")
    endpoint, public = (found.get(name, "").rstrip("/") or None for name in ("endpoint", "public"))
    return Bucket(parts.netloc, prefix, endpoint, region, public)


def media_url(value: str) -> str:
    """The URL of a bucket."""
    bucket(value.strip())
    return value.strip()


def location(value: str) -> str:
    """The path of a reverse proxy's internal location."""
    if not re.fullmatch(r"(/[A-Za-z0-9_\-]+)+/?", value) or value.startswith("/api"):
        raise ValueError(
            "must be the path of an internal location outside of /api, such as /protected"
        )
    return value.rstrip("/")


def bind(value: str) -> str:
    """host:port or unix:/path."""
    if value.startswith("unix:") and len(value) > len("unix:"):
        return value
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]*):(\d{1,5})", value)
    if not match or int(match[2]) > 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:8000, or unix:/path")
    return value


def secret(value: str) -> str:
    """A signing secret of 32 bytes or more."""
    if len(value.encode()) < 32:
        raise ValueError("must have at least 32 characters; leave it unset to have one made")
    return value


def header(value: str) -> str:
    """The name of an HTTP header that a proxy may set."""
    name = value.strip()
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)+", name) or name.lower() in _USED:
        raise ValueError("must be the name of a header of the proxy's own, such as Remote-User")
    return name


_USED = {
    "accept-encoding",
    "accept-language",
    "content-length",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "transfer-encoding",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
}
"""Headers with a meaning of their own, which clients set."""


def peers(value: str) -> tuple[str, ...]:
    """A comma list of addresses and networks, and `unix`."""
    return tuple(dict.fromkeys(_peer(part.strip()) for part in value.split(",") if part.strip()))


def _peer(given: str) -> str:
    if given.lower() == "unix":
        return "unix"
    try:
        network = ipaddress.ip_network(given)
    except ValueError:
        rule = f"must list addresses, networks such as 10.0.0.0/8, or unix, not {given!r}"
        raise ValueError(rule) from None
    return str(network) if network.num_addresses > 1 else str(network.network_address)


def seed_password(value: str) -> str:
    """A password of 12 to 128 characters that is not a common one."""
    if not 12 <= len(value) <= 128:
        raise ValueError("must have 12 to 128 characters")
    if is_common(value):
        raise ValueError("is too common a password; choose one that nobody would guess")
    return value


def rate(value: str) -> str:
    """A rate as `limits` reads it, or several with semicolons."""
    try:
        parsed = limits.parse_many(value)
    except ValueError:
        parsed = []
    if not parsed or any(limit.amount < 1 for limit in parsed):
        raise ValueError("must be a rate such as 10/minute, or several with semicolons")
    return value.strip()


def rate_storage(value: str) -> str:
    """memory:// or a Redis URL."""
    if not re.fullmatch(r"memory://|(rediss?|redis\+unix)://\S+", value):
        raise ValueError("must be memory:// or a Redis URL such as redis://127.0.0.1:6379/0")
    return value


def metrics(value: str) -> str:
    """off, on, or a token."""
    if value.strip().lower() in ("on", "off"):
        return value.strip().lower()
    if not re.fullmatch(r"[A-Za-z0-9._~+/=\-]{16,}", value):
        raise ValueError(
            "must be off, on, or a token of 16 or more letters, digits and . _ ~ + / = -"
        )
    return value


def folder(value: str) -> Path:
    """An absolute folder."""
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with the home of a user who does not exist") from None


def _postgresql_url(value: str) -> str:
    """The URL with its one scheme. It may hold a password, so no message repeats any of it."""
    rest = value.partition(":")[2]
    netloc, _, path = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not path.partition("?")[0]:
        raise ValueError("must be postgresql://user:password@host:port/database")
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00|[\x00-\x20]", value):
        raise ValueError("must have %20 and the like in the place of special characters")
    hosts = netloc.rpartition("@")[2].split(",")
    if not all(re.fullmatch(r"(\[[^\]]*\]|[^:]*)(:[0-9]{1,5})?", host) for host in hosts):
        raise ValueError("must have a number as its port, and an IPv6 address in brackets")
    return f"postgresql:{rest}"


def database_url(value: str) -> str:
    """sqlite:/// and a file, or postgresql:// and a server's database."""
    if value.startswith(("postgresql:", "postgres:")):
        return _postgresql_url(value)
    if not value.startswith(SQLITE) or len(value) == len(SQLITE) or "\x00" in unquote(value):
        raise ValueError("must be sqlite:///relative/path.db or sqlite:////absolute/path.db")
    if ":memory:" in value:
        raise ValueError(
            "must name a file: an in-memory database cannot be shared by the worker and the server"
        )
    if "?" in value:
        # A file would be called that, and the option have no effect.
        raise ValueError("takes no options after '?'; a '?' in a path is written %3F")
    if os.path.basename(os.path.normpath("/" + unquote(value.removeprefix(SQLITE)))) == "":
        raise ValueError("must name a file")
    return value
