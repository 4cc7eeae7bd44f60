"""A server of the `sdapi` family as the real ones behave (engines.md, C.2 and C.3): renders one
after another behind a lock, keeps the current task, those that wait and the last sixteen finished,
changes silently what it does not know, and breaks where a test tells it to.

Kinds: `forge` (A1111 1.10's API), `nowebui` (the same without /internal), `old` (A1111 before
samplers and schedules were parted), `sdnext`, `sdcpp`, and `sdcpp-old` whose `info` is empty.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import re
import socket
import struct
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image
from PIL.PngImagePlugin import PngInfo

LORA = re.compile(r"<lora:([^:>]+):?([^>]*)>")
SCHEDULES = {
    "automatic": "Automatic",
    "uniform": "Uniform",
    "karras": "Karras",
    "exponential": "Exponential",
    "sgm_uniform": "SGM Uniform",
    "simple": "Simple",
    "normal": "Normal",
    "ddim": "DDIM",
    "beta": "Beta",
}
FORGE_SAMPLERS = ["DPM++ 2M", "Euler a", "Euler", "LMS", "Heun", "DPM2", "DPM++ SDE", "DDIM", "LCM"]
SDNEXT_SAMPLERS = ["UniPC", "DDIM", "Euler", "Euler a", "DPM++ 2M", "DPM++ 1S", "KDPM2", "LMSD"]
SDCPP_SAMPLERS = ["default", "euler", "euler_a", "heun", "dpm2", "dpm++2m", "lcm", "ddim_trailing"]
SDCPP_SCHEDULES = ["default", "discrete", "normal", "karras", "exponential", "simple", "lcm"]


def png(image: Image.Image, text: str = "") -> bytes:
    info, out = PngInfo(), io.BytesIO()
    if text:
        info.add_text("parameters", text)
    image.save(out, "PNG", pnginfo=info)
    return out.getvalue()


def painted(words: object, width: int, height: int) -> Image.Image:
    """A picture that shows, to the bit, what it was made of."""
    seed = hashlib.sha256(repr(words).encode()).digest()
    image = Image.new("RGB", (width, height), (seed[0], seed[1], seed[2] | 1))
    image.putpixel((0, 0), (seed[3], seed[4], seed[5]))
    return image


class Gone(Exception):
    """The program was restarted under this request."""


class FakeSdapi:
    """One server on a free port of this machine, with the fault points as plain attributes."""

    def __init__(self, kind: str = "forge", *, key: str = "") -> None:
        self.kind = kind
        self.key = key
        """The Authorization that it asks for; empty asks for none."""
        self.models = [
            {
                "title": "sd_xl_base_1.0.safetensors [31e35c80fc]",
                "model_name": "sd_xl_base_1.0",
                "hash": "31e35c80fc",
                "filename": "/models/Stable-diffusion/sd_xl_base_1.0.safetensors",
                "type": "Stable Diffusion XL",
            },
            {
                "title": "sub/dream.safetensors [aaaaaaaaaa]",
                "model_name": "sub_dream",
                "hash": "aaaaaaaaaa",
                "filename": "/models/Stable-diffusion/sub/dream.safetensors",
                "type": "Stable Diffusion",
            },
        ]
        if kind.startswith("sdcpp"):
            self.models = [
                {
                    "title": "toy",
                    "model_name": "toy",
                    "hash": "8888888888",
                    "filename": "toy.safetensors",
                    "type": "",
                }
            ]
        self.loras = [
            {
                "name": "film-grain-xl",
                "alias": "film_grain",
                "path": "/models/Lora/xl/film-grain-xl.safetensors",
                "metadata": {"ss_base_model_version": "sdxl_base_v1-0"},
            },
            {
                "name": "ink",
                "alias": "ink",
                "path": "/models/Lora/ink.safetensors",
                "metadata": {},
            },
        ]
        self.on_disk: list[dict[str, Any]] = []
        """LoRAs that are listed only after the folders were looked at again."""
        self.loaded = self.models[0]
        # What was seen.
        self.bodies: list[dict[str, Any]] = []
        self.interrupts: list[str | None] = []
        """The task (or the prompt, without ids) that each interrupt hit; None on an idle server."""
        self.rendered: list[str] = []
        """The tasks (or prompts) that were rendered to the end."""
        # Fault points.
        self.fault: dict[str, Any] = {}
        """For the next render: raise=<class>, empty, no_info, grid, half, black, body=<bytes>,
        size=<bytes>, close, status=<n>."""
        self.hashes = True
        """Whether infotexts tell the LoRAs' hashes."""
        self.deaf = threading.Event()
        """While set, progress is not answered."""
        self.lose_interrupts = 0
        self.doorstep: threading.Event | None = None
        """While given and not set, what is to be rendered waits unread, and is dropped then."""
        self.at_door = threading.Event()
        # The state machine.
        self._change = threading.Condition()
        self._age = 0
        self._line: deque[object] = deque()
        self._allowed: float = float("inf")
        self.current: str | None = None
        self.pending: dict[str, float] = {}
        self.finished: deque[str] = deque(maxlen=16)
        self.job, self.job_count, self.step, self.steps = "", 0, 0, 0
        self.running: str | None = None
        self._interrupted = False
        self._server = Listener(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    # ------------------------------------------------------------------------------ for tests

    def pause(self, steps: int = 0) -> None:
        """Let so many steps be made, and no more."""
        with self._change:
            self._allowed = steps
            self._change.notify_all()

    def resume(self) -> None:
        self.pause(steps=10**9)

    def until(self, true: Any, seconds: float = 10.0) -> None:
        """Wait until `true()` is; fail after so many seconds."""
        with self._change:
            assert self._change.wait_for(true, seconds), "the server never came to that"

    def restart(self) -> None:
        """Forget everything, and drop who waits."""
        with self._change:
            self._age += 1
            self._line.clear()
            self.current, self.running = None, None
            self.pending.clear()
            self.finished.clear()
            self.job, self.job_count, self.step, self.steps = "", 0, 0, 0
            self._change.notify_all()

    def close(self) -> None:
        self.restart()
        self._server.shutdown()
        self._server.server_close()

    # ------------------------------------------------------------------------------ routes

    def get(self, path: str, query: dict[str, list[str]]) -> Any:
        sdcpp, sdnext = self.kind.startswith("sdcpp"), self.kind == "sdnext"
        if path == "/sdapi/v1/sd-models":
            return self.models
        if path == "/sdapi/v1/loras":
            drop = ("alias", "metadata") if sdcpp else ()
            return [{k: v for k, v in lora.items() if k not in drop} for lora in self.loras]
        if path == "/sdapi/v1/samplers":
            return [{"name": name, "aliases": [], "options": {}} for name in self._samplers()]
        if path == "/sdapi/v1/schedulers" and self.kind != "old":
            if sdcpp:
                return [{"name": name, "label": name} for name in SDCPP_SCHEDULES]
            if sdnext:
                return [{"name": name, "options": {}} for name in SDNEXT_SAMPLERS]
            return [{"name": name, "label": label} for name, label in SCHEDULES.items()]
        if path == "/sdapi/v1/options":
            options = {"samples_format": "png", "sd_model_checkpoint": self.loaded["title"]}
            return options if sdcpp else {**options, "lora_add_hashes_to_infotext": self.hashes}
        if path == "/sdapi/v1/scripts" and not sdcpp:
            return {"txt2img": [], "img2img": []}
        if path == "/sdapi/v1/progress" and not sdcpp:
            return self._progress()
        if sdnext and path == "/sdapi/v1/status":
            return {"status": "running" if self.job else "idle", "id": "x", "queued": 0}
        if sdnext and path == "/sdapi/v1/version":
            return {"updated": "2026-07-01", "commit": "0565909"}
        if sdnext and path == "/sdapi/v1/checkpoint":
            return {"title": self.loaded["title"], "hash": self.loaded["hash"]}
        return None

    def _samplers(self) -> list[str]:
        if self.kind.startswith("sdcpp"):
            return SDCPP_SAMPLERS
        if self.kind == "sdnext":
            return SDNEXT_SAMPLERS
        if self.kind == "old":
            return [*FORGE_SAMPLERS, "DPM++ 2M Karras"]
        return FORGE_SAMPLERS

    def _progress(self) -> dict[str, Any]:
        with self._change:
            self._hear()
            share = self.step / self.steps if self.steps else 0.0
            return {
                "progress": min(share + 0.01, 1.0) if self.job_count else 0,
                "eta_relative": 1.0,
                "state": {
                    "job": self.job,
                    "job_count": self.job_count,
                    "job_no": 0,
                    "job_timestamp": "20261126000000",
                    "sampling_step": self.step,
                    "sampling_steps": self.steps,
                },
                "current_image": None,
                "textinfo": None,
            }

    def _hear(self) -> None:
        while self.deaf.is_set():
            self._change.wait(0.1)

    def internal_progress(self, body: dict[str, Any]) -> dict[str, Any]:
        task = body.get("id_task")
        with self._change:
            self._hear()
            active, queued = task == self.current, task in self.pending
            answer: dict[str, Any] = {
                "active": active,
                "queued": queued,
                "completed": task in self.finished,
                "progress": None,
                "eta": None,
                "live_preview": None,
                "id_live_preview": -1,
                "textinfo": "Waiting...",
            }
            if queued:
                place = sorted(self.pending, key=self.pending.__getitem__).index(task) + 1
                answer["textinfo"] = f"In queue: {place}/{len(self.pending)}"
            if active:
                answer["progress"] = self.step / self.steps if self.steps else 0.0
                answer["textinfo"] = None
                answer["id_live_preview"] = self.step
                if body.get("live_preview") and body.get("id_live_preview") != self.step > 0:
                    frame = base64.b64encode(png(painted((task, self.step), 64, 64))).decode()
                    answer["live_preview"] = f"data:image/png;base64,{frame}"
            return answer

    def interrupt(self) -> None:
        with self._change:
            if self.lose_interrupts:
                self.lose_interrupts -= 1
                return
            self.interrupts.append(self.running)
            self._interrupted = True
            self._change.notify_all()

    # ------------------------------------------------------------------------------ rendering

    def txt2img(self, body: dict[str, Any]) -> tuple[int, Any]:
        """The status and the answer; bytes are sent as they are, None closes the connection."""
        with self._change:
            age = self._age
            self.bodies.append(body)
            self._change.notify_all()
            sampler, schedule = self._taken_sampler(body)
            if sampler is None:
                return 404, {"error": "HTTPException", "detail": "Sampler not found", "errors": ""}
            if self.kind.startswith("sdcpp"):
                known = {lora["path"] for lora in self.loras}
                for lora in body.get("lora", ()):
                    if lora["path"] not in known:
                        return 400, {"error": f"invalid lora path: {lora['path']}"}
            takes_ids = self.kind in ("forge", "nowebui", "old")
            task = body.get("force_task_id") if takes_ids else None
            task = task or f"task(txt2img-{len(self.bodies)})"
            self.pending[task] = time.monotonic()
            ticket = object()
            self._line.append(ticket)
            try:
                self._wait(age, lambda: self._line[0] is ticket)
                self.pending.pop(task)
                name = body.get("force_task_id") or body["prompt"]
                return self._render(age, body, task, name, sampler, schedule)
            except Gone:
                return 0, None
            finally:
                if self._age == age and ticket in self._line:
                    self._line.remove(ticket)
                self._change.notify_all()

    def _wait(self, age: int, true: Any) -> None:
        self._change.wait_for(lambda: self._age != age or true())
        if self._age != age:
            raise Gone

    def _taken_sampler(self, body: dict[str, Any]) -> tuple[str | None, str]:
        name, schedule = body.get("sampler_name", ""), body.get("scheduler", "Automatic")
        if self.kind == "sdnext":
            sigma = (body.get("override_settings") or {}).get("schedulers_sigma", "default")
            return (name if name in SDNEXT_SAMPLERS else None), sigma
        if self.kind.startswith("sdcpp"):
            known = name in SDCPP_SAMPLERS
            return name if known else "NONE", schedule if schedule in SDCPP_SCHEDULES else "NONE"
        for word in ("Karras", "Exponential"):
            if name.endswith(f" {word}"):
                name, schedule = name.removesuffix(f" {word}"), word
        label = SCHEDULES.get(schedule.lower(), schedule)
        if name not in FORGE_SAMPLERS or label not in SCHEDULES.values():
            return "DPM++ 2M", "Karras"
        return name, label

    def _render(
        self, age: int, body: dict[str, Any], task: str, name: str, sampler: str, schedule: str
    ) -> tuple[int, Any]:
        fault, self.fault = self.fault, {}
        self._interrupted = False
        self.job, self.job_count = "scripts_txt2img", 1
        self.step, self.steps, self.running = 0, int(body["steps"]), name
        self.current = task
        self._change.notify_all()
        try:
            if "status" in fault:
                return fault["status"], {"error": "HTTPException", "detail": "", "message": ""}
            if "raise" in fault:
                told = {"error": fault["raise"], "detail": "", "body": "", "message": "no"}
                return 500, told
            if self.steps == 0:
                told = {"error": "ZeroDivisionError", "detail": "", "body": "", "message": "no"}
                return 500, told
            self._take_model(body)
            while self.step < self.steps and not self._interrupted:
                self._wait(age, lambda: self._allowed > 0 or self._interrupted)
                if self._interrupted:
                    break
                self._allowed -= 1
                self.step += 1
                self._change.notify_all()
            if not self._interrupted:
                self.rendered.append(name)
            answer = self._answer(body, sampler, schedule, fault)
            self.current = None
            self.finished.append(task)
            return answer
        finally:
            if self._age == age:
                self.job, self.job_count, self.running = "", 0, None

    def _take_model(self, body: dict[str, Any]) -> None:
        wanted = (body.get("override_settings") or {}).get("sd_model_checkpoint")
        for model in self.models:
            if wanted in (model["title"], model["model_name"], model["hash"]):
                self.loaded = model

    def _answer(
        self, body: dict[str, Any], sampler: str, schedule: str, fault: dict[str, Any]
    ) -> tuple[int, Any]:
        if fault.get("close"):
            return 0, None
        if "body" in fault:
            return 200, fault["body"]
        multiple = 64 if self.kind.startswith("sdcpp") else 8
        width, height = (
            -(-side // multiple) * multiple if multiple == 64 else side // multiple * multiple
            for side in (body["width"], body["height"])
        )
        applied = [name for name, _ in LORA.findall(body["prompt"]) if self._known_lora(name)]
        count = body.get("batch_size", 1) * body.get("n_iter", 1)
        seeds = [body["seed"] + k for k in range(count)]
        pictures = []
        for seed in seeds:
            words = (body["prompt"], body["negative_prompt"], seed, self.step, sampler, schedule)
            image = painted((*words, self.loaded["title"], body.get("lora")), width, height)
            if fault.get("black"):
                image = Image.new("RGB", (width, height))
            text = f"{body['prompt']}\nSteps: {self.step}, Sampler: {sampler}, Seed: {seed}, CFG: 7"
            pictures.append(png(image, text if self.kind.startswith("sdcpp") else ""))
        if fault.get("half"):
            pictures = [data[: len(data) // 2] for data in pictures]
        images = [base64.b64encode(data).decode() for data in pictures]
        first = 0
        if fault.get("grid"):
            grid = base64.b64encode(png(Image.new("RGB", (16, 16), "red"))).decode()
            images, first = [grid, *images, grid], 1
        if fault.get("empty"):
            images = []
        if "size" in fault:
            images = ["A" * fault["size"]]
        info: dict[str, Any] = {
            "prompt": body["prompt"],
            "seed": seeds[0],
            "all_seeds": seeds,
            "sampler_name": sampler,
            "width": body["width"],
            "height": body["height"],
            "index_of_first_image": first,
            "extra_generation_params": {},
            "infotexts": [],
        }
        extra = info["extra_generation_params"]
        if self.kind == "sdnext":
            # Known once the model is loaded, also where the list does not have it yet.
            info["sd_model_hash"] = self.loaded["hash"] or "0123456789"
            if applied:
                extra["LoRA networks"] = ", ".join(applied)
        else:
            info["sd_model_name"] = re.sub(r"\.\w+$", "", self.loaded["filename"].split("/")[-1])
            info["sd_model_hash"] = self.loaded["hash"]
            if schedule != "Automatic":
                extra["Schedule type"] = schedule
            if applied and self.hashes and not self.kind.startswith("sdcpp"):
                extra["Lora hashes"] = ", ".join(f"{name}: b66a6b9bc21f" for name in applied)
        if self.kind.startswith("sdcpp"):
            del info["sd_model_hash"]
        told = "" if fault.get("no_info") or self.kind == "sdcpp-old" else json.dumps(info)
        parameters = {**body, "override_settings": None}
        return 200, {"images": images, "parameters": parameters, "info": told}

    def _known_lora(self, name: str) -> bool:
        return not self.kind.startswith("sdcpp") and any(
            name in (lora["name"], lora["alias"]) for lora in self.loras
        )


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is nothing to write down."""


def _handler(fake: FakeSdapi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self._allowed():
                parts = urlsplit(self.path)
                value = fake.get(parts.path, parse_qs(parts.query))
                if value is None:
                    self._say(404, {"detail": "Not Found"})
                else:
                    self._say(200, value)

        def do_POST(self) -> None:
            if fake.doorstep is not None and self.path == "/sdapi/v1/txt2img":
                fake.at_door.set()
                fake.doorstep.wait(30)
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not self._allowed():
                return
            told = json.loads(body or b"{}")
            sdcpp = fake.kind.startswith("sdcpp")
            if self.path == "/sdapi/v1/txt2img":
                wrong = [
                    field
                    for field, kind in (("steps", int), ("cfg_scale", float | int), ("prompt", str))
                    if not isinstance(told.get(field), kind)
                ]
                if wrong:
                    detail = [{"loc": ["body", field], "input": told} for field in wrong]
                    self._say(422, {"detail": detail})
                    return
                status, value = fake.txt2img(told)
                if value is None:
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self._say(status, value)
                if status == 500:
                    self._reset()
            elif self.path == "/sdapi/v1/interrupt" and not sdcpp:
                fake.interrupt()
                self._say(204 if fake.kind == "sdnext" else 200, {})
            elif self.path == "/sdapi/v1/refresh-loras" and not sdcpp:
                fake.loras += fake.on_disk
                fake.on_disk = []
                self._say(200, {})
            elif self.path == "/internal/progress" and fake.kind in ("forge", "old"):
                self._say(200, fake.internal_progress(told))
            else:
                self._say(404, {"detail": "Not Found"})

        def _allowed(self) -> bool:
            if fake.key and self.headers.get("Authorization") != fake.key:
                self._say(401, {"detail": "Incorrect username or password"})
                return False
            return True

        def _say(self, status: int, value: Any) -> None:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            if status == 204:
                data = b""
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def _reset(self) -> None:
            """After a failure, Forge resets the connection that it kept."""
            self.close_connection = True
            self.wfile.flush()
            # Long enough for the answer to be read first.
            self.connection.settimeout(2)
            with contextlib.suppress(OSError):
                self.connection.recv(1)
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return Handler
