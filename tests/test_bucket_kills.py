"""Workers that are killed while they fill a bucket: real processes, and no picture is lost or left
over."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from buckets import KEYS, SECRET, BucketServer, bucket_server, names
from conftest import Person, environment, wait_for
from stored import open_rows
from test_start import variables

from seidra import create_app
from seidra.config import Settings
from seidra.files import keys, open_files
from seidra.operations.housekeeping import Housekeeper
from seidra.operations.media import MediaCheck
from seidra.values import timestamp_in
from seidra.web.services import services_of

pytestmark = pytest.mark.slow

JOBS, KILLS, WORKERS = 60, 6, 2
SEED = 17


class Workers:
    """Processes of `flask worker`, of which one is killed now and then, and another one started."""

    def __init__(self, stack: ExitStack, folder: Path, **more: str) -> None:
        self._stack, self._folder, self._more = stack, folder, more
        self._running = [self._start() for _ in range(WORKERS)]

    def _start(self) -> subprocess.Popen[bytes]:
        with open(self._folder / "workers.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flask", "worker"],
                cwd=self._folder,
                env=variables(self._folder / "instance", **self._more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._stack.callback(process.wait, 60)
        self._stack.callback(process.kill)
        return process

    def kill(self, which: int) -> None:
        assert self._running[which].poll() is None, self.said()
        self._running[which].kill()
        assert self._running[which].wait(60) == -9
        self._running[which] = self._start()

    def kill_all(self) -> None:
        for process in self._running:
            process.kill()
            process.wait(60)

    def said(self) -> str:
        return (self._folder / "workers.log").read_text()


def test_killed_workers_lose_no_picture_and_leave_none(tmp_path: Path) -> None:
    """Half of the kills come at any time, half while a file is announced and no row names it."""
    chance = random.Random(SEED)
    with ExitStack() as stack:
        (tmp_path / "bucket").mkdir()
        server: BucketServer = stack.enter_context(bucket_server(tmp_path / "bucket"))
        bucket = server.make_bucket()
        more = {
            "SEIDRA_MEDIA_URL": server.url(bucket),
            "SEIDRA_JWT_SECRET": SECRET,
            "SEIDRA_JOB_LEASE_SECONDS": "3",
            "SEIDRA_JOB_MAX_ATTEMPTS": "10",
            "SEIDRA_MAX_QUEUED_JOBS": "1000",
            **KEYS,
        }
        app = create_app(Settings.load(environment(tmp_path / "instance", **more)))
        parts = services_of(app)
        stack.callback(parts.database.close)
        alice = Person(app, "alice")
        persona = alice.persona(generation_params={"width": 256, "height": 256, "quality": "draft"})
        jobs = [alice.preview(persona["id"]) for _ in range(JOBS)]
        watching = stack.enter_context(open_rows(parts.settings))

        def count(what: str) -> int:
            return int(watching.execute(f"SELECT COUNT(*) FROM {what}").fetchone()[0])

        ended = "generation_jobs WHERE status IN ('completed', 'failed', 'cancelled')"
        announced = "file_deletions WHERE due_at IS NOT NULL"
        workers = Workers(stack, tmp_path, **more)
        for turn in range(KILLS):
            before, left = count(ended), count(announced)
            wait_for(lambda before=before: count(ended) >= before + 3)
            if turn % 2:
                wait_for(lambda left=left: count(announced) != left)
            else:
                time.sleep(chance.uniform(0, 0.5))
            workers.kill(chance.randrange(WORKERS))
        assert count(ended) < JOBS, "they were done before the last was killed"
        wait_for(lambda: count(ended) == JOBS, 200)
        workers.kill_all()

        found = Counter(alice.get(f"/api/jobs/{job}").get_json()["status"] for job in jobs)
        assert found == {"completed": JOBS}, workers.said()
        made = watching.execute("SELECT job_id, file_key FROM media_items").fetchall()
        assert sorted(job for job, _ in made) == sorted(jobs)
        # What killed attempts put is announced, so it is no orphan, and goes when that runs out.
        leftovers = {key for (key,) in watching.execute("SELECT key FROM file_deletions")}
        check = MediaCheck(parts.settings, parts.database)
        assert list(check.find(deep=True)) == []
        files = open_files(parts.settings)
        named = {key for _, key in made}
        put = {key for key in files.keys() if keys.is_picture_key(key)}  # noqa: SIM118
        assert named <= put <= named | leftovers
        assert leftovers, "no kill came between a file and its row"
        with parts.database.transaction() as tx:
            tx.execute("UPDATE file_deletions SET due_at = ?", (timestamp_in(-1),))
        Housekeeper(parts.database, files, parts.settings).run(idle=True)
        assert count("file_deletions") == 0
        store = server.store(bucket)
        pictures = [name for name in names(store) if keys.is_picture_key(name[7:])]
        assert pictures == sorted(f"seidra/{key}" for key in named)
        assert {keys.original_key(name[7:]) for name in names(store)} == named
