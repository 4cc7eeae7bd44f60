"""`flask version`."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed

import click

from seidra.cli.groups import CheckedCommand
from seidra.config import PACKAGE_DIR


@click.command(cls=CheckedCommand)
def version() -> None:
    """Say the versions of SEIDRA and of what it runs on; `flask --version` knows Flask's alone."""
    click.echo(f"SEIDRA {installed('seidra')} in {PACKAGE_DIR}")
    click.echo(f"Python {platform.python_version()}")
    click.echo(f"Flask {installed('flask')}")
