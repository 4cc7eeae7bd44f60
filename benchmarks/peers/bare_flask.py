"""The floor: the least that Flask can do to give the same bytes. It reads no token, no query, no
body and no database.

BARE_LIST and BARE_CREATED name the files with the bytes.
"""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, Response

app = Flask(__name__, static_folder=None)
_LIST = Path(os.environ["BARE_LIST"]).read_bytes()
_CREATED = Path(os.environ["BARE_CREATED"]).read_bytes()


@app.get("/api/personas")
def personas() -> Response:
    return Response(_LIST, content_type="application/json")


@app.post("/api/personas")
def create() -> Response:
    return Response(_CREATED, 201, content_type="application/json")


@app.get("/api/health")
def health() -> Response:
    return Response(b"{}", content_type="application/json")
