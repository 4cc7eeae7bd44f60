"""gunicorn's settings for the bare Flask app: SEIDRA's own, whatever they are, without its
hooks."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from typing import Any

from seidra import server

_SEIDRA = Path(__file__).resolve().parents[2] / "gunicorn.conf.py"
_HOOKS = {"when_ready", "post_worker_init", "worker_exit"}

globals().update(
    {k: v for k, v in run_path(str(_SEIDRA)).items() if not k.startswith("_") and k not in _HOOKS}
)
wsgi_app = "benchmarks.peers.bare_flask:app"


def post_worker_init(worker: Any) -> None:
    """On a core of its own where SEIDRA's are."""
    server.pin_to_core(worker)
