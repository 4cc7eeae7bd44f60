"""Every failure is one shape: application/problem+json (RFC 9457), also for tokens and unknown paths."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import click
import orjson
from flask import Flask, Response, has_request_context, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

_log = logging.getLogger(__name__)

Errors = Mapping[str, list[str]]


class StartError(click.ClickException):
    """SEIDRA cannot start: one sentence that names the setting, file or folder. Ends a command with code 1."""


class Problem(Exception):
    """An answer that is a failure. `errors` maps a field's dotted name to its messages."""

    status = 500

    def __init__(
        self, detail: str, *, errors: Errors | None = None, headers: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.status = status or self.status


class NotFound(Problem):
    """404: it does not exist, or is not this user's to see."""

    status = 404

    def __init__(self, what: str = "page") -> None:
        super().__init__(f"There is no such {what}.")


class Unauthorized(Problem):
    """401, with the challenge that RFC 6750 asks for."""

    status = 401

    def __init__(self, detail: str, error: str | None = "invalid_token") -> None:
        challenge = f'Bearer error="{error}"' if error else "Bearer"
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    """403: known who asks, and not allowed."""

    status = 403


class Conflict(Problem):
    """409: the request does not fit the present state. `field` names what is taken, where one is."""

    status = 409

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail, errors={field: [detail]} if field else None)


class Invalid(Problem):
    """422: the fields in `errors` break their rules."""

    status = 422

    def __init__(self, errors: Errors) -> None:
        names = ", ".join(errors)
        super().__init__(f"The request has invalid values: {names}.", errors=errors)


class Unavailable(Problem):
    """503: the database is busy or its disk full; trying again may help."""

    status = 503

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


def flatten(messages: Any, prefix: str = "") -> dict[str, list[str]]:
    """marshmallow's nested messages as {dotted field: [messages]}; list positions are part of the name."""
    if isinstance(messages, dict):
        flat: dict[str, list[str]] = {}
        for key, value in messages.items():
            # A field's name is the client's, and may be what no UTF-8 answer can hold.
            key = str(key).encode("utf-8", "backslashreplace").decode()
            # A Dict field reports below "key" and "value"; people know the entry by its name.
            name = prefix if key in ("_schema", "value", "key") and prefix else f"{prefix}.{key}" if prefix else key
            for field, texts in flatten(value, "body" if name == "_schema" else name).items():
                flat.setdefault(field, []).extend(texts)
        return flat
    return {prefix: [str(text) for text in (messages if isinstance(messages, list) else [messages])]}


def problem_response(status: int, detail: str, errors: Errors | None = None, **more: Any) -> Response:
    """The problem+json answer for a status; `detail` is a sentence for people, `more` further members."""
    body: dict[str, Any] = {
        "type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail,
    }  # fmt: skip
    if errors:
        body["errors"] = errors
    body.update(more)
    if has_request_context():
        body["request_id"] = request.environ.get("seidra.request_id")
    return Response(orjson.dumps(body), status, content_type="application/problem+json")


def problem(error: Problem) -> Response:
    """The answer for a Problem."""
    response = problem_response(error.status, error.detail, error.errors)
    response.headers.update(error.headers)
    return response


def _invalid(error: ValidationError) -> Response:
    return problem(Invalid(flatten(error.messages)))


_DETAILS = {
    400: "The request is malformed.",
    404: "There is no such page.",
    405: "This path does not know that method.",
    413: "The request body is too large.",
    415: "The body must be JSON, sent as application/json.",
}


def http_problem(error: HTTPException) -> Response:
    """What Flask and Werkzeug raise by themselves, in the same shape."""
    if error.code is None or error.code < 400:
        return Response(error.get_body(), error.code or 500, error.get_headers())
    response = problem_response(error.code, _DETAILS.get(error.code, error.description or error.name))
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def unexpected(error: Exception) -> Response:
    """A 500 says nothing of its cause to the client; the log says everything."""
    _log.exception("unhandled error")
    return problem_response(500, "Something went wrong on the server; the log has it under this request_id.")


def register(app: Flask) -> None:
    """Make every failure of `app` a problem+json answer."""
    app.register_error_handler(Problem, problem)
    app.register_error_handler(ValidationError, _invalid)
    app.register_error_handler(HTTPException, http_problem)
    app.register_error_handler(Exception, unexpected)
