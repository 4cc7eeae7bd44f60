"""The failures that SEIDRA raises by name, as plain exceptions: `seidra.web.problems` makes answers
of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Errors = Mapping[str, list[str]]


class Mistake(str):
    """A sentence about a field's value that also carries a stable `code`, and the `bounds` that
    were missed: what a program needs to say it in another language."""

    code: str
    bounds: Mapping[str, int | float]

    def __new__(cls, sentence: str, code: str, **bounds: int | float) -> Mistake:
        """The sentence with its code."""
        made = super().__new__(cls, sentence)
        made.code, made.bounds = code, bounds
        return made


class StartError(Exception):
    """SEIDRA cannot start: `message` is one sentence that names the setting, file or folder."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


STATUS_CODES = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    412: "stale",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}
"""The code of a failure that has none of its own, by its status."""


class Problem(Exception):
    """An answer that is a failure. `errors` maps a field's dotted name to its messages; `code` is a
    stable word for programs, by default the status's own; `more` are further members of the
    answer."""

    status = 500
    code: str | None = None

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Errors | None = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.more = dict(more or {})
        self.headers = dict(headers or {})
        self.status = status or self.status
        self.code = code or self.code or STATUS_CODES.get(self.status, "failed")


class NotFound(Problem):
    """404: it does not exist, or is not this user's to see."""

    status = 404

    def __init__(self, what: str = "page") -> None:
        super().__init__(f"There is no such {what}.")


class Unauthorized(Problem):
    """401, with the challenge that RFC 6750 asks for."""

    status = 401

    def __init__(
        self, detail: str, error: str | None = "invalid_token", *, code: str | None = None
    ) -> None:
        challenge = f'Bearer error="{error}"' if error else "Bearer"
        super().__init__(detail, code=code, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    """403: known who asks, and not allowed."""

    status = 403


class Conflict(Problem):
    """409: the request does not fit the present state. `field` names what is taken, where one
    is."""

    status = 409

    def __init__(self, detail: str, field: str | None = None, *, code: str | None = None) -> None:
        mistake = Mistake(detail, code) if code else detail
        super().__init__(detail, code=code, errors={field: [mistake]} if field else None)


class QuotaExceeded(Problem):
    """409: an account has as many of a thing as it may have. `way` makes room."""

    status = 409
    code = "quota_exceeded"

    def __init__(self, what: str, limit: int, used: int, way: str = "delete some first") -> None:
        super().__init__(
            f"You have {used} {what}, and may have {limit}; {way}.",
            more={"limit": limit, "used": used},
        )


class Invalid(Problem):
    """422: the fields in `errors` break their rules."""

    status = 422

    def __init__(self, errors: Errors, *, more: Mapping[str, Any] | None = None) -> None:
        names = ", ".join(errors)
        super().__init__(f"The request has invalid values: {names}.", errors=errors, more=more)


@contextmanager
def errors_below(field: str) -> Iterator[None]:
    """Name the fields of an Invalid as those of an object that stands in this field."""
    try:
        yield
    except Invalid as error:
        errors = {f"{field}.{name}": texts for name, texts in (error.errors or {}).items()}
        raise Invalid(errors, more=error.more) from None


class Unavailable(Problem):
    """503: the database is busy or its disk full; trying again may help."""

    status = 503

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"Retry-After": "1"})
