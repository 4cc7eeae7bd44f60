"""Which core the threads of a server process run on."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import wait_for
from test_graceful import children
from test_start import GUNICORN, Server

from seidra import server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="Cores are assigned on Linux."),
]


def cores(process: int) -> list[set[int]]:
    """The cores that each thread of a process may run on, its main thread first."""
    threads = sorted(int(name) for name in os.listdir(f"/proc/{process}/task"))
    return [os.sched_getaffinity(thread) for thread in threads]


def test_threads_that_answer_requests_share_a_core_and_pictures_are_made_on_any(
    tmp_path: Path,
) -> None:
    every = os.sched_getaffinity(0)
    with Server(tmp_path, *GUNICORN, SEIDRA_WEB_WORKERS="2", SEIDRA_WEB_PINNED="true") as running:
        running.ready().register()
        for _ in range(20):
            assert running.call("GET", "/api/personas")[0] == 200
        processes = children(running.process, 2)
        # A request's thread comes with the first request; the worker's renews its lease in another.
        wait_for(
            lambda: all(sum(allowed != every for allowed in cores(each)) >= 2 for each in processes)
        )
        homes = [cores(each)[0] for each in processes]
        assert [len(home) for home in homes] == [1, 1]
        assert len(homes[0] | homes[1]) == min(2, len(every))
        for process, home in zip(processes, homes, strict=True):
            assert all(allowed in (home, every) for allowed in cores(process))
            assert every in cores(process)
        assert running.picture(running.preview())
        assert "Traceback" not in running.stop()


def test_a_sandbox_that_forbids_pinning_stops_no_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with caplog.at_level("WARNING", logger="seidra"):
        server.pin_to_core(SimpleNamespace(seidra_core=0))
    assert "not pinned to a core: Operation not permitted" in caplog.text


def test_nothing_is_pinned_unless_it_is_asked_for(tmp_path: Path) -> None:
    every = os.sched_getaffinity(0)
    with Server(tmp_path, *GUNICORN, SEIDRA_WEB_WORKERS="2") as running:
        running.ready().register()
        assert running.call("GET", "/api/personas")[0] == 200
        for process in children(running.process, 2):
            assert all(allowed == every for allowed in cores(process))
        running.stop()
