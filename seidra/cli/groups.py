"""What every command has: failures are one sentence on standard error and code 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from marshmallow import ValidationError

from seidra.errors import Invalid, Problem, StartError
from seidra.web.problems import flatten_messages


class CheckedGroup(click.Group):
    """A group whose commands' failures are one sentence on standard error and code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        return _say_failures(super().invoke, ctx)


class CheckedCommand(click.Command):
    """A command with the same manners."""

    def invoke(self, ctx: click.Context) -> Any:
        return _say_failures(super().invoke, ctx)


def _say_failures(invoke: Callable[[click.Context], Any], ctx: click.Context) -> Any:
    try:
        return invoke(ctx)
    except StartError as error:
        raise click.ClickException(error.message) from None
    except Invalid as invalid:
        raise click.ClickException(_rules(invalid.errors)) from None
    except Problem as problem:
        raise click.ClickException(problem.detail) from None
    except ValidationError as error:
        raise click.ClickException(_rules(error.messages)) from None


def _rules(messages: Any) -> str:
    """The fields that break their rules, and how."""
    found = flatten_messages(messages)
    return "; ".join(f"{field}: {' '.join(texts)}" for field, texts in found.items())
