"""Rate limits: how often an address, a name or a user may do something, counted in memory or in
Redis.

Made of `limits`, the engine of flask-limiter, called where a limit is known to apply: a request
that is within its limits pays about 5 us.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
import threading
import time
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

import limits
from flask import Flask, current_app, request
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from seidra.config import Settings
from seidra.errors import Problem, StartError
from seidra.web.services import services

P = ParamSpec("P")
R = TypeVar("R")

_UNCOUNTED = {"platform.health", "platform.ready", "metrics"}
"""What the operator's own probes ask for."""

_RETRY_STORAGE_SECONDS = 10.0
"""How long requests are counted in memory after Redis failed, before it is asked again."""

_log = logging.getLogger(__name__)


class _Counters(MemoryStorage):
    """The library's counters in memory, swept when they have doubled.

    The library itself has a thread look through all counters every 10 ms while requests come: after
    100,000 addresses within a minute, which one person with an IPv6 network can make up, that takes
    more than half a core even where there are but 100 requests a second (here: 1 %).
    """

    SWEEP_AT = 1000
    """So many counters, at least, are not worth a look."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._sweep_at = self.SWEEP_AT

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        with self._lock:
            if self.expirations.get(key, 0) <= now:
                self._sweep_ended(now)
                self.storage[key], self.expirations[key] = 0, now + expiry
            self.storage[key] += amount
            return self.storage[key]

    def get(self, key: str) -> int:
        with self._lock:
            return self.storage[key] if self.expirations.get(key, 0) > time.time() else 0

    def _sweep_ended(self, now: float) -> None:
        if len(self.expirations) >= self._sweep_at:
            for key in [key for key, end in self.expirations.items() if end <= now]:
                del self.storage[key], self.expirations[key]
            self._sweep_at = max(2 * len(self.expirations), self.SWEEP_AT)


class Rates:
    """The limits of one instance. `count` raises a 429 Problem with Retry-After."""

    def __init__(self, settings: Settings) -> None:
        names = ("login", "register", "account", "refresh", "preview", "links", "shared", "general")
        self._limits = {
            name: limits.parse_many(getattr(settings, f"rate_{name}")) for name in names
        }
        self._memory = FixedWindowRateLimiter(_Counters())
        self._shared = (
            self._memory
            if settings.rate_storage == "memory://"
            else _connect_storage(settings.rate_storage)
        )
        self._shared_from = 0.0

    def count(self, name: str, *who: str) -> None:
        """Count one more of limit `name` for `who`; raises when it is one too many."""
        limiter = self._shared if time.monotonic() >= self._shared_from else self._memory
        try:
            self._count_within(limiter, name, who)
        except StorageError as error:
            # Without Redis the limits go on, process by process, and so does the service.
            _log.error(
                "rate limits: the storage does not answer, counting in memory: %s",
                error.storage_error,
            )
            self._shared_from = time.monotonic() + _RETRY_STORAGE_SECONDS
            self._count_within(self._memory, name, who)

    def _count_within(
        self, limiter: FixedWindowRateLimiter, name: str, who: tuple[str, ...]
    ) -> None:
        for limit in self._limits[name]:
            if not limiter.hit(limit, name, *who):
                seconds = limiter.get_window_stats(limit, name, *who).reset_time - time.time()
                raise Problem(
                    "Too many requests; wait a little.",
                    status=429,
                    code="rate_limited",
                    headers={"Retry-After": str(max(math.ceil(seconds), 1))},
                )


def _connect_storage(url: str) -> FixedWindowRateLimiter:
    try:
        # A server that hangs must not hang every request.
        storage = storage_from_string(
            url, wrap_exceptions=True, socket_timeout=1, socket_connect_timeout=1
        )
    except (ConfigurationError, ValueError) as error:
        raise StartError(
            f"SEIDRA_RATE_STORAGE cannot be used: {error} (pip install 'seidra[redis]')."
        ) from None
    return FixedWindowRateLimiter(storage)


# ----------------------------------------------------------------------------------- who is counted


def client_address() -> str:
    """Who sends the request, as far as can be known: the peer, or what trusted proxies say of
    it."""
    return _customer_network(request.remote_addr or "")


@lru_cache(maxsize=4096)
def _customer_network(peer: str) -> str:
    """An address; of IPv6 its /64, for that is what one customer has."""
    try:
        parsed = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def count_request(name: str, *who: str) -> None:
    """Count for the running app, unless its limits are switched off. Raises a 429 Problem."""
    rates = services().rates
    if rates is not None:
        rates.count(name, *who)


def count_name(name: str, kind: str) -> None:
    """Count a try of `kind` with an account's name, whether or not there is such an account."""
    # Hashed: as long as it may be, it takes little room, and no name stands in Redis.
    count_request("account", kind, hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32])


def limited(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Guard a view: so many requests of an address, counted before anything else is done."""

    def decorator(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            count_request(name, client_address())
            return view(*args, **kwargs)

        return guarded

    return decorator


def counts_itself(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a view that counts each request itself, because it finds out who sends it."""
    view.counts_itself = True  # type: ignore[attr-defined]
    return view


def _count_anonymous() -> None:
    """Count a request for its address, unless its view counts it: whatever headers it has."""
    if request.endpoint in _UNCOUNTED:
        return
    view = current_app.view_functions.get(request.endpoint or "")
    # The automatic answer to OPTIONS calls no view.
    if request.method == "OPTIONS" or not getattr(view, "counts_itself", False):
        count_request("general", client_address())


def count_requests(app: Flask, settings: Settings) -> None:
    """Count the requests of `app` whose views do not, unless limits are switched off."""
    if settings.rate_limits:
        app.before_request(_count_anonymous)
