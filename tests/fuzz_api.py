"""Fuzzing: Schemathesis sends requests made of the OpenAPI document, good and bad, to the real
application.

`make fuzz` runs it, `.ci/run` with few examples; it is no part of `make test`. SEIDRA_FUZZ_EXAMPLES
says how many requests each operation gets at random, beside those that try each rule of its
schemas.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from conftest import Person, environment
from werkzeug.serving import make_server

from seidra import create_app
from seidra.config import Settings
from seidra.engines.mock import MockEngine
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

EXAMPLES = os.environ.get("SEIDRA_FUZZ_EXAMPLES", "10")
SEED = os.environ.get("SEIDRA_FUZZ_SEED")
"""Makes the same requests again; without it they are others each time."""

# What a schema cannot say is refused with 422 all the same: which texts are URLs and emails, whose
# a media item or a persona is, which engines there are, that a prompt says something, which words
# mean the same, what the instance's NSFW default allows, how deep and large a free object is, how
# many tags two parameters make, which passwords are too common,
# which lists belong together, which Idempotency-Key was used for something else.
CONFIG = "\n".join(
    f'''
[[operations]]
include-name = "{name}"
checks.positive_data_acceptance.expected-statuses = [
    "2xx", "401", "403", "404", "409", "422", "429",
]
'''
    for name in (
        "POST /api/personas",
        "PUT /api/personas/{persona_id}",
        "PATCH /api/personas/{persona_id}",
        "PUT /api/personas/{persona_id}/avatar",
        "POST /api/personas/{persona_id}/preview",
        "POST /api/previews",
        "GET /api/personas/{persona_id}/check",
        "POST /api/jobs",
        "PUT /api/settings/nsfw",
        "PATCH /api/settings/nsfw",
        "PUT /api/settings/nsfw/default",
        "PATCH /api/settings/nsfw/default",
        "PUT /api/settings",
        "PUT /api/auth/me/settings",
        "PATCH /api/auth/me",
        "POST /api/auth/register",
        "POST /api/auth/password",
        "POST /api/admin/users",
        "PATCH /api/admin/users/{user_id}",
        "POST /api/admin/groups",
        "PATCH /api/admin/groups/{group_id}",
        "POST /api/admin/groups/{group_id}/members",
        "POST /api/admin/users/{user_id}/hand-over",
        "POST /api/admin/invitations",
        "POST /api/personas/{persona_id}/duplicate",
        "POST /api/jobs/{job_id}/again",
        "POST /api/jobs/{job_id}/retry",
        "POST /api/jobs/cancel",
        "POST /api/media/bulk-action",
        "POST /api/media",
        "POST /api/media/bulk",
        "POST /api/personas/bulk",
        "POST /api/generate/single",
        "POST /api/trash/restore",
        "POST /api/imports",
        "POST /api/personas/from-picture",
        "POST /api/imports/{import_id}/apply",
        "POST /api/imports/{import_id}/undo",
        "POST /api/exports",
    )
)
CONFIG += "\n".join(
    f"""
[[operations]]
include-name = "GET /api/{name}"
checks.positive_data_acceptance.expected-statuses = [
    "2xx", "401", "403", "404", "409", "422", "429",
]
checks.negative_data_rejection.expected-statuses = ["2xx", "4xx"]
"""
    # Repeatable parameters: an empty one is as one that is not there, and counts for nothing.
    for name in ("personas", "personas/facets", "media", "media/facets", "media/timeline", "jobs")
)
CONFIG += "\n".join(
    f'''
[[operations]]
include-name = "{name}"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501"]
'''
    # What a frontend calls and SEIDRA does not do is a 501.
    for name in (
        "POST /api/models/download",
        "POST /api/models/clear-cache",
        "DELETE /api/models/{name}",
    )
)
LOGOUT = "/api/auth/logout"
"""Would end the session that all other requests are sent in."""

STREAMS = "/events$"


def fuzz(folder: Path) -> int:
    """Fuzz an instance in `folder`; returns Schemathesis's exit code."""
    variables = environment(
        folder,
        SEIDRA_MAX_QUEUED_JOBS="5",
        SEIDRA_ACCESS_TOKEN_SECONDS="86400",
        SEIDRA_STREAM_SECONDS="1",
        SEIDRA_STREAMS_PER_USER="64",
        SEIDRA_WEB_THREADS="128",
    )
    app = create_app(Settings.load(variables))
    person = Person(app, "fuzzer")
    person.allow_nsfw()
    _furnish(person)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"http://127.0.0.1:{server.port}/api/openapi.json",
        "--checks",
        "all",
        "--max-examples",
        EXAMPLES,
        "--continue-on-failure",
        "--generation-database",
        "none",
        "--no-color",
        *(["--seed", SEED] if SEED else []),
        "--header",
        person_header(person),
    ]
    parts = (
        ["--exclude-path", LOGOUT, "--exclude-path-regex", STREAMS],
        # Several at once: each stays open for its second.
        ["--include-path-regex", STREAMS, "--workers", "16"],
        ["--include-path", LOGOUT],
    )
    try:
        return max(_run([*command, *part], folder) for part in parts)
    finally:
        server.shutdown()


def _run(command: list[str], folder: Path) -> int:
    """Run Schemathesis; shows its counts, and everything when it found something."""
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
    else:
        print("Schemathesis:", re.search(r"(\S+ generated, .*)", done.stdout)[0])
    return done.returncode


def person_header(person: Person) -> str:
    return f"Authorization: {person.headers['Authorization']}"


def _furnish(person: Person) -> None:
    """One of everything, so that ids may be met with."""
    app = person.client.application
    persona = person.persona(generation_params={"width": 64, "height": 64})["id"]
    person.preview(persona)
    settings = services_of(app).settings
    worker = make_worker(settings, services_of(app).database, [MockEngine()], threading.Event())
    assert worker.work_one()
    person.preview(persona)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.exit(fuzz(Path(name)))
