"""The operator's commands: `flask backup`, `flask restore`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from seidra.cli import CheckedCommand
from seidra.config import get_settings
from seidra.database import DatabaseService
from seidra.errors import StartError
from seidra.operations import backup as backups
from seidra.operations import restore as restores
from seidra.operations.archive import Progress


@contextmanager
def _progress(label: str, length: int) -> Iterator[Progress]:
    """A progress bar on standard error, for a person who watches."""
    # Without a handler Python dies of the signal, and temporary files would stay.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden) as bar:
        yield bar.update


@click.command(cls=CheckedCommand)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def backup(file: Path, force: bool) -> None:
    """Write database and pictures into one archive, FILE. The server may run meanwhile."""
    target = file.absolute()
    if target.is_dir() or (target.exists() and not force):
        raise StartError(f"There is a file {file} already; --force overwrites it.")
    with DatabaseService() as service, _progress("Backing up", backups.expected_bytes(service.database)) as progress:
        report = backups.backup(service.settings, service.database, target, progress)
    for id in report.unreadable:
        click.echo(f"The picture of media item {id} cannot be read and is not in the backup.", err=True)
    click.echo(f"Backed up the database and {report.media} pictures: {target.stat().st_size:,} bytes in {file}.")
    if report.unreadable:
        click.echo("`flask media check` says more about the pictures that are missing.", err=True)


@click.command(cls=CheckedCommand)
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path) -> None:
    """Unpack an archive of `flask backup` into an empty place. All sessions are ended. Stop the server first."""
    settings = get_settings()
    restores.check_place(settings)
    with restores.opened(file) as reader:
        length = reader.about["bytes"]
        with _progress("Checking", length) as progress:
            restores.check_archive(settings, reader, progress)
        with _progress("Restoring", length) as progress:
            restored = restores.restore(settings, reader, progress)
    if restored.applied:
        click.echo(f"Applied {restored.applied} migrations.")
    click.echo(f"Restored the database and {restored.media} pictures of {reader.about.get('created_at')}.")
    if restored.lost:
        click.echo(f"{restored.lost} media items have no picture in the archive; see `flask media check`.", err=True)
