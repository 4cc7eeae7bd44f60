"""Passwords: their normal form, which ones are too common, and their Argon2id hashes."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from seidra.config import Settings

_SALT_AND_HASH = 66
"""How many characters of an encoded hash its salt and hash take at the end, with what stands
between: the rest is its cost."""


@lru_cache(maxsize=8)
def _password_hasher(memory_kib: int, time_cost: int) -> PasswordHasher:
    # One lane: a login costs one core, and 19 MiB with 2 passes is OWASP's first choice for
    # Argon2id.
    return PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)


def normal_password(password: str) -> str:
    """A password as it is hashed: NFKC and without blanks around it, so that it does not matter
    which keyboard or clipboard it comes from."""
    return unicodedata.normalize("NFKC", password).strip()


def hash_password(password: str, settings: Settings) -> str:
    """The encoded Argon2id hash (salt and cost included) of a password in its normal form."""
    hasher = _password_hasher(settings.argon2_memory_kib, settings.argon2_time_cost)
    return hasher.hash(normal_password(password))


def verify_password(encoded: str, password: str) -> bool:
    """Whether this very text is the one hashed. One Argon2 computation at the hash's own cost."""
    try:
        return _password_hasher(8, 1).verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


def is_right_password(encoded: str, password: str) -> bool:
    """Whether a password is the one hashed, in its normal form or, for hashes made before there was
    one, as it was given. A second computation for every password that these differ for, right or
    wrong."""
    forms = {normal_password(password), password}
    right = [verify_password(encoded, form) for form in forms]
    return any(right)


def is_below_cost(encoded: str, settings: Settings) -> bool:
    """Whether a hash costs a guesser less than one that is made today."""
    try:
        stored = extract_parameters(encoded)
    except InvalidHashError:
        return False
    today = settings.argon2_memory_kib * settings.argon2_time_cost
    return stored.memory_cost * stored.time_cost < today


class LoginChecker:
    """Checks the passwords of logins in a time that tells nothing about whose they are.

    Each takes one computation at each cost that the hashes of the instance have: the account's own,
    and for the others, or where there is no account, that of a hash that nobody has. There is one
    cost, until it is changed and as long as somebody has not logged in since.
    """

    def __init__(self, settings: Settings, stored_costs: Iterable[str]) -> None:
        today = hash_password(secrets.token_urlsafe(32), settings)
        self._decoys = {_cost_of(today): today}
        for cost in stored_costs:
            self._add_decoy(cost)

    def __call__(self, encoded: str | None, password: str) -> bool:
        """Whether the password is the one of a stored hash; None: of nobody's."""
        own = {} if encoded is None else {_cost_of(encoded): encoded}
        for cost in own:
            self._add_decoy(cost)
        hashes = {**self._decoys, **own}
        right = {cost: is_right_password(hashed, password) for cost, hashed in hashes.items()}
        return any(right[cost] for cost in own)

    def _add_decoy(self, cost: str) -> None:
        if cost in self._decoys:
            return
        try:
            stored = extract_parameters(f"{cost}{'A' * 22}${'A' * 43}")
        except InvalidHashError:
            return
        hasher = _password_hasher(stored.memory_cost, stored.time_cost)
        self._decoys[cost] = hasher.hash(secrets.token_urlsafe(32))


def _cost_of(encoded: str) -> str:
    return encoded[:-_SALT_AND_HASH]
