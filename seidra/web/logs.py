"""Logs: one JSON object a line on standard error. No secret, token or password is ever put into
one."""

from __future__ import annotations

import logging
import re
from typing import Any

import orjson
from flask import has_request_context, request

from seidra.values import timestamp

_SECRET_PARAMETER = re.compile(
    r"((?:signature|ticket|token|password)(?:=|%3d))[^&\s\"']+", re.IGNORECASE
)
"""A secret in a query string, wherever it is quoted: gunicorn logs a request line that it cannot
read, and a traceback may hold any text."""


_SHARED = re.compile(r"(/s/)[A-Za-z0-9_-]{43}")
"""The token of a link for outsiders, which is a part of its path."""


def _without_secrets(text: str) -> str:
    return _SHARED.sub(r"\1***", _SECRET_PARAMETER.sub(r"\1***", text))


class JsonFormatter(logging.Formatter):
    """A record as one line: time, level, logger, message, the record's `fields`, and a traceback if
    there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": timestamp(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if has_request_context() and "request_id" not in line:
            line["request_id"] = request.environ.get("seidra.request_id")
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # Replaced, not raised: a log line must not fail on an odd character in a path.
        text = {
            k: _without_secrets(v.encode("utf-8", "replace").decode()) if isinstance(v, str) else v
            for k, v in line.items()
        }
        return orjson.dumps(text, default=str).decode()


def logging_configuration(level: str) -> dict[str, Any]:
    """The logging configuration (dictConfig) of the app, its worker and gunicorn."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "seidra": {"level": level.upper()},
            # The development server's access lines hold query strings, and those hold signatures.
            "werkzeug": {"level": "WARNING"},
            "gunicorn.error": {"level": level.upper(), "handlers": [], "propagate": True},
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
        },
    }
