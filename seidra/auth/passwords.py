"""Password hashes: Argon2id."""

from __future__ import annotations

import secrets
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from seidra.config import Settings


@lru_cache(maxsize=8)
def _password_hasher(memory_kib: int, time_cost: int) -> PasswordHasher:
    # One lane: a login costs one core, and 19 MiB with 2 passes is OWASP's first choice for
    # Argon2id.
    return PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)


def hash_password(password: str, settings: Settings) -> str:
    """The encoded Argon2id hash (salt and cost included) of a password."""
    return _password_hasher(settings.argon2_memory_kib, settings.argon2_time_cost).hash(password)


def verify_password(encoded: str, password: str) -> bool:
    """Whether the password is the one hashed. One Argon2 computation at the hash's own cost."""
    try:
        return _password_hasher(8, 1).verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=8)
def decoy_hash(settings: Settings) -> str:
    """A hash that no password has, at today's cost: what an unknown user's login is checked
    against."""
    return hash_password(secrets.token_urlsafe(32), settings)
