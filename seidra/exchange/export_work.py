"""The part of a worker that writes exports, one after the other.

A claim and a lease say whose an export is, as with jobs: a worker that dies is silent, another one
begins it again, and what the first may still bring is thrown away. The file is written among the
temporary ones, announced, put under a key of this attempt alone, and named by the row in one
transaction with its end.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
import uuid
from pathlib import Path

from seidra.config import Settings
from seidra.database.base import Database, Row
from seidra.database.queries import queries
from seidra.exchange.belongings import Belongings, Chosen
from seidra.exchange.exports import KEPT_SECONDS, archive_name, write_export
from seidra.exchange.targets import SEIDRA, Losses
from seidra.files.base import Files, StoreUnavailable
from seidra.files.keys import ARCHIVE, archive_key
from seidra.files.temporary import private
from seidra.media.chores import ANNOUNCED_SECONDS, delete_condemned
from seidra.values import timestamp, timestamp_in

MAX_ATTEMPTS = 3
"""How often an export is begun: what takes its worker along each time has failed."""

_BEAT_SECONDS = 1.0

_log = logging.getLogger(__name__)


class _Gone(Exception):
    """The export was deleted, or is another worker's by now."""


class _Stopped(Exception):
    """This process stops."""


class Exporter:
    """Writes the exports of all users."""

    def __init__(self, database: Database, files: Files, settings: Settings) -> None:
        self._database = database
        self._files = files
        self._lease = float(settings.job_lease_seconds)
        self._name = f"{os.uname().nodename[:20]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._claims = 0

    def work_one(self, stopping: threading.Event) -> bool:
        """Write one export, if one waits whose owner has none in work; returns whether there was
        one. Gives it back once `stopping` is set."""
        now, horizon = timestamp(), timestamp_in(2 * max(self._lease, 60))
        if queries.exports.due(self._database.connection, now=now, horizon=horizon) is None:
            return False
        self._claims += 1
        claim = f"{self._name}-{self._claims}"
        with self._database.transaction("exports") as tx:
            row = queries.exports.claim(
                tx,
                claim=claim,
                now=now,
                horizon=horizon,
                leased_until=timestamp_in(self._lease),
            )
        if row is None:
            return False
        if row["attempts"] > MAX_ATTEMPTS:
            self._fail(row, claim, "given_up", "Its worker was gone three times before it ended.")
            return True
        self._write(row, claim, stopping)
        return True

    def _write(self, row: Row, claim: str, stopping: threading.Event) -> None:
        self._discard_parts(row["id"])
        part = self._files.temporary_path(f"export-{row['id']}")
        try:
            self._write_file(row, claim, part, stopping)
        except _Gone:
            _log.info("an export is gone while it was written", extra={"fields": {"id": row["id"]}})
        except _Stopped:
            with self._database.transaction() as tx:
                queries.exports.give_back(tx, id=row["id"], claim=claim)
        except OSError as error:
            _log.exception("an export cannot be written")
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            sentence = "The server's disk is full." if full else "Its file cannot be written."
            self._fail(row, claim, "disk_full" if full else "unwritable", sentence)
        except StoreUnavailable as error:
            _log.warning("an export cannot be stored: %s", error)
            self._fail(row, claim, "unwritable", error.detail)
        except Exception:
            _log.exception("an export failed")
            self._fail(row, claim, "internal_error", "It could not be made; the log says why.")
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _write_file(self, row: Row, claim: str, part: Path, stopping: threading.Event) -> None:
        target = row["target"]
        chosen = Chosen.of_json(row["chosen"])
        belongings = Belongings(self._database, self._files, row["user_id"], chosen)
        total = belongings.count()
        if target == SEIDRA:
            total += belongings.pictures_size()[0]
        losses, done, beat = Losses(target), 0, time.monotonic()
        self._beat(row, claim, done, total)
        with open(part, "xb", opener=private) as out:
            for more in write_export(out, belongings, target, losses):
                done += more
                if stopping.is_set():
                    raise _Stopped
                if time.monotonic() - beat >= _BEAT_SECONDS:
                    beat = time.monotonic()
                    self._beat(row, claim, done, total)
        self._beat(row, claim, done, total)
        self._keep(row, claim, part, losses.lost)

    def _beat(self, row: Row, claim: str, done: int, total: int) -> None:
        with self._database.transaction() as tx:
            kept = queries.exports.heartbeat(
                tx,
                id=row["id"],
                claim=claim,
                done=done,
                # Avatars that are another persona's pictures are not counted before.
                total=max(done, total),
                leased_until=timestamp_in(self._lease),
            )
        if not kept:
            raise _Gone

    def _keep(self, row: Row, claim: str, part: Path, lost: int) -> None:
        key, size = archive_key(row["id"], claim), part.stat().st_size
        with self._database.transaction() as tx:
            due_at = timestamp_in(ANNOUNCED_SECONDS)
            queries.media.announce(tx, [{"key": key, "due_at": due_at}])
        try:
            self._files.put_file(key, part, ARCHIVE)
            with self._database.transaction() as tx:
                if not queries.media.announcement_take(tx, key=key):
                    raise _Gone
                kept = queries.exports.finish(
                    tx,
                    id=row["id"],
                    claim=claim,
                    lost=lost,
                    file_key=key,
                    file_name=archive_name(row["target"]),
                    file_size=size,
                    now=timestamp(),
                    expires_at=timestamp_in(KEPT_SECONDS),
                )
                if not kept:
                    raise _Gone
        except BaseException:
            with self._database.transaction() as tx:
                queries.media.condemn(tx, [{"key": key}])
            delete_condemned(self._database, self._files, [key])
            raise

    def _fail(self, row: Row, claim: str, code: str, sentence: str) -> None:
        with self._database.transaction() as tx:
            queries.exports.fail(
                tx,
                id=row["id"],
                claim=claim,
                error_code=code,
                error_message=sentence,
                now=timestamp(),
            )

    def _discard_parts(self, export_id: str) -> None:
        """What attempts that ended in the middle have left may be large."""
        for path in self._files.temporary(0):
            if path.name.startswith(f"export-{export_id}-"):
                self._files.discard(path)
