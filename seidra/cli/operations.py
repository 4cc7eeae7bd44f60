"""The operator's commands: `flask backup`, `flask restore`, `flask media check`, `flask doctor`."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from seidra import parsers
from seidra.cli.groups import CheckedCommand, CheckedGroup
from seidra.config import get_settings
from seidra.database import DatabaseService
from seidra.errors import StartError
from seidra.files import open_files
from seidra.operations import backup as backups
from seidra.operations import checks, moves
from seidra.operations import restore as restores
from seidra.operations.archive import Progress
from seidra.operations.media import LOST, MENDED, ORPHAN, Finding, MediaCheck


@contextmanager
def _progress_bar(label: str, length: int) -> Iterator[Progress]:
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
    with (
        DatabaseService() as service,
        _progress_bar(
            "Backing up", backups.expected_bytes(service.settings, service.database)
        ) as progress,
    ):
        report = backups.backup(service.settings, service.database, target, progress)
    for id in report.unreadable:
        click.echo(
            f"The picture of media item {id} cannot be read and is not in the backup.", err=True
        )
    click.echo(
        f"Backed up the database and {report.media} pictures: {target.stat().st_size:,} bytes"
        f" in {file}."
    )
    if report.unreadable:
        click.echo("`flask media check` says more about the pictures that are missing.", err=True)


@click.command(cls=CheckedCommand)
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path) -> None:
    """Unpack an archive of `flask backup` into an empty place. All sessions are ended. Stop the
    server first."""
    settings = get_settings()
    restores.check_place(settings)
    with restores.opened(file) as reader:
        length = reader.about["bytes"]
        with _progress_bar("Checking", length) as progress:
            restores.check_archive(settings, reader, progress)
        with _progress_bar("Restoring", length) as progress:
            restored = restores.restore(settings, reader, progress)
    if restored.applied:
        click.echo(f"Applied {restored.applied} migrations.")
    click.echo(
        f"Restored the database and {restored.media} pictures of {reader.about.get('created_at')}."
    )
    if restored.lost:
        click.echo(
            f"{restored.lost} media items have no picture in the archive; see `flask media check`.",
            err=True,
        )


@click.group(cls=CheckedGroup)
def media() -> None:
    """Look after the files of the media."""


@media.command("check")
@click.option("--deep", is_flag=True, help="Decode every picture.")
@click.option(
    "--repair",
    is_flag=True,
    help="Delete files without an item, items without a file, and leftovers.",
)
@click.option("--force", is_flag=True, help="Repair even where most files or items are missing.")
def media_check(deep: bool, repair: bool, force: bool) -> None:
    """Compare files and items of the media; code 1 when something is wrong. The server may run
    meanwhile."""
    with DatabaseService() as service:
        check = MediaCheck(service.settings, service.database)
        found = list(check.find(deep=deep))
        counts = Counter(finding.kind for finding in found)
        if repair and not force:
            _check_plausible(counts, check)
        left = 0
        for finding in found:
            mended = repair and finding.kind in MENDED and check.repair(finding)
            left += not mended
            click.echo(f"{finding.kind:<10}  {finding.sentence}{' Deleted.' if mended else ''}")
    kinds = "".join(f", {count} {kind}" for kind, count in sorted(counts.items()))
    click.echo(f"Checked {check.items} items and {check.files} files{kinds or ': all is well'}.")
    if left:
        raise click.ClickException(_repair_advice(found, repair))


@media.command("copy")
@click.option("--to", required=True, help="A bucket as SEIDRA_MEDIA_URL names it, or `folders`.")
def media_copy(to: str) -> None:
    """Copy all files into a bucket, or from it into SEIDRA_MEDIA_DIR and SEIDRA_THUMBNAIL_DIR. Can
    be repeated; stop the server for the last time."""
    settings = get_settings()
    try:
        media_url = None if to == "folders" else parsers.media_url(to)
    except ValueError as error:
        raise click.UsageError(f"--to {error}.") from None
    source, target = open_files(settings), moves.other_store(settings, media_url)
    source.check()
    with _progress_bar("Copying", moves.total_bytes(source)) as progress:
        try:
            copied = moves.copy_files(source, target, progress)
        except OSError as error:
            raise StartError(f"A file cannot be copied: {error.strerror or error}.") from None
    click.echo(
        f"Copied {copied.files} files, {copied.bytes:,} bytes; {copied.kept} were there already."
    )
    setting = "without SEIDRA_MEDIA_URL" if media_url is None else "with that SEIDRA_MEDIA_URL"
    click.echo(f"Start the server {setting}; the files here may go once all is well.")


def _repair_advice(found: list[Finding], repair: bool) -> str:
    mendable = sum(finding.kind in MENDED for finding in found)
    if mendable and not repair:
        return (
            "Something is wrong; `flask media check --repair` mends"
            f" {mendable} of {len(found)} findings."
        )
    return "Something is wrong that only a person can mend, from a backup for example."


def _check_plausible(counts: Counter[str], check: MediaCheck) -> None:
    """Raise StartError where a disk that is not mounted, or another database, is the likelier
    cause."""
    for kind, of, what in (
        (LOST, check.items, "items have no file"),
        (ORPHAN, check.files, "files have no item"),
    ):
        if counts[kind] >= 10 and counts[kind] > of / 2:
            raise StartError(
                f"{counts[kind]} of {of} {what}: are SEIDRA_MEDIA_DIR and the database the"
                " right ones? Nothing was deleted; --force repairs all the same."
            )


@click.command(cls=CheckedCommand)
def doctor() -> None:
    """Look whether everything is well and say what to do where it is not; code 1 when something
    fails."""
    failed = seen = 0
    for check in checks.examine(get_settings()):
        seen += 1
        failed += check.state == checks.FAIL
        told = " ".join(filter(None, (check.seen, check.advice)))
        click.echo(f"{check.state:<4}  {check.name:<10}  {told}")
    if failed:
        raise click.ClickException(f"{failed} of {seen} checks failed.")
