"""The blueprint that all routes are made with."""

from __future__ import annotations

from typing import Any, cast

import flask_smorest

from seidra.web.arguments import Decorator, View, parsed_arguments


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """flask-smorest's blueprint, for the document alone: views get their arguments by
    `parsed_arguments` and return `reply(...)`, so that its own decorators have nothing to do at a
    request."""

    def arguments(self, schema: Any, *, required: bool = True, **kwargs: Any) -> Decorator:
        """Arguments from the JSON body, or with location="query", or with location="files" from
        what `takes_files` received; `required` also decides whether a
        body may be left out."""
        document = super().arguments(schema, required=required, **kwargs)
        parse = parsed_arguments(schema, kwargs.get("location", "json"), required)

        def decorate(view: View) -> View:
            parsed = parse(view)
            parsed.__dict__["_apidoc"] = document(view)._apidoc
            return parsed

        return decorate

    def route(self, rule: str, **options: Any) -> Decorator:
        """As Flask's."""
        return cast(Decorator, super().route(rule, **options))

    def response(self, status_code: int, schema: Any = None, **kwargs: Any) -> Decorator:
        """Document the answer that the view gives."""
        return _documented(super().response(status_code, schema, **kwargs))

    def alt_response(
        self, status_code: int, response: str | None = None, **kwargs: Any
    ) -> Decorator:
        """Document another one."""
        return _documented(super().alt_response(status_code, response, **kwargs))

    def doc(self, **kwargs: Any) -> Decorator:
        """Document anything else of the operation, as OpenAPI spells it."""
        return _documented(super().doc(**kwargs))


def _documented(document: Any) -> Decorator:
    def decorate(view: View) -> View:
        view.__dict__["_apidoc"] = document(view)._apidoc
        return view

    return decorate
