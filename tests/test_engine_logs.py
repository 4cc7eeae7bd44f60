"""What stands in the log while engines of each kind make pictures and fail: no prompt, no key and
no address."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import Person
from fake_comfyui import FakeComfyUI
from fake_openai import FakeOpenai
from fake_sdapi import FakeSdapi
from flask import Flask

from seidra import engines as kinds
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

PROMPT, NEGATIVE, KEY = "a most private wish", "nobody shall know", "hunter2hunter2"


@pytest.mark.parametrize("kind", ["comfyui", "sdapi", "openai"])
def test_no_prompt_key_or_address_stands_in_the_log(
    kind: str,
    make_app: Callable[..., Flask],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ExitStack() as stack:
        comfy = stack.enter_context(FakeComfyUI(key=KEY))
        forge, cloud = FakeSdapi(key=f"Bearer {KEY}"), FakeOpenai("localai")
        stack.callback(forge.close)
        stack.callback(cloud.close)
        url = {"comfyui": comfy.url, "sdapi": forge.url, "openai": cloud.url}[kind]
        (tmp_path / "it.key").write_text(KEY)
        (tmp_path / "it.key").chmod(0o600)
        file = tmp_path / "engines.toml"
        model = {"comfyui": "sd15.safetensors", "sdapi": "dream", "openai": "dreamshaper"}[kind]
        dialect = 'dialect = "localai"\n' if kind == "openai" else ""
        file.write_text(
            f'default = "it"\n[engines.it]\nkind = "{kind}"\nurl = "{url}"\n'
            f'key_file = "it.key"\ndefault_model = "{model}"\n{dialect}'
        )
        app = make_app(engines=str(file), job_max_attempts=1)
        caplog.set_level(logging.DEBUG)
        caplog.set_level(logging.DEBUG, logger="seidra")
        logging.getLogger("seidra").addHandler(caplog.handler)
        stack.callback(logging.getLogger("seidra").removeHandler, caplog.handler)
        parts, alice = services_of(app), Person(app, "alice")
        engine = kinds.make("it", parts.setup.engines["it"])
        worker = make_worker(parts.settings, parts.database, [engine], threading.Event())

        def made() -> str:
            body = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "engine": "it", "force": True}
            body |= {"parameters": {"width": 256, "height": 256}}
            job = alice.post("/api/jobs", json=body).get_json()["job_id"]
            assert worker.work_one()
            shown = alice.get(f"/api/jobs/{job}").get_json()
            told = shown["error_message"] or ""
            assert not [word for word in (PROMPT, KEY, url) if word in told]
            return str(shown["status"])

        assert made() == "completed"
        comfy.paint = lambda *_: b"half"
        for fault in (forge.fault, cloud.fault):
            fault["body"] = f'{{"error": "{PROMPT}", "key": "{KEY}"'.encode()
        assert made() == "failed"
        comfy.failures.append({"exception_message": PROMPT, "exception_type": "ValueError"})
        for fault in (forge.fault, cloud.fault):
            fault.clear()
            fault["status"] = 500
        assert made() == "failed"
    assert "job completed" in caplog.text
    secrets = (PROMPT, NEGATIVE, KEY, "hunter2", url.removeprefix("http://"))
    ours = "\n".join(
        record.getMessage() + str(record.__dict__)
        for record in caplog.records
        if record.name.startswith("seidra")
    )
    assert not [secret for secret in secrets if secret in ours]
    # What libraries say from the level on that a log has by default.
    others = [r.getMessage() for r in caplog.records if r.levelno >= logging.INFO]
    assert not [secret for secret in secrets if secret in "\n".join(others)]
