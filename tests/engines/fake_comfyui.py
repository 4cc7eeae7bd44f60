"""A ComfyUI server without models: the protocol of 0.30.0 (`new`) or of 0.3.75, on a free port.

Written after ComfyUI's server.py, execution.py and comfy_execution/jobs.py as a state machine: a
queue, one job that runs, a history, output files, and sockets by client id. It checks graphs as the
real one does (classes, lists, links, ranges), and it has its faults: the same id is run twice, a
cancelled pending job is unknown afterwards, an equal graph answers with the earlier file, the
history comes after the last message. What a test wants to break it says with `fault`, `down`,
`restart`, `lose_cancels`, `failures`, `hold`.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import email
import hashlib
import io
import json
import socket
import struct
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image, PngImagePlugin

SAMPLERS = [
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2",
    "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm",
    "ipndm", "ipndm_v", "deis", "res_multistep", "gradient_estimation", "er_sde", "seeds_2",
    "seeds_3", "ddim", "uni_pc", "uni_pc_bh2",
]  # fmt: skip
SCHEDULES = [
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal",
    "linear_quadratic", "kl_optimal",
]  # fmt: skip
CLIP_TYPES = ["stable_diffusion", "sd3", "lumina2", "qwen_image", "flux2"]
DUAL_CLIP_TYPES = ["sdxl", "sd3", "flux", "hunyuan_video"]

FOLDERS = {
    "checkpoints": ["sd15.safetensors", "xl/film_xl_1.0.safetensors", "film_xl_1.0.ckpt"],
    "loras": ["xl/film-grain-xl.safetensors", "sketch.safetensors"],
    "diffusion_models": [
        "flux1-dev.safetensors", "qwen_image.safetensors", "z_image_turbo.safetensors",
    ],
    "text_encoders": [
        "clip_l.safetensors", "t5xxl_fp16.safetensors", "qwen_2.5_vl_7b.safetensors",
        "qwen_3_4b.safetensors",
    ],
    "vae": ["ae.safetensors", "qwen_image_vae.safetensors"],
    "input": ["example.png"],
}  # fmt: skip

_MODEL, _CLIP, _VAE = "MODEL", "CLIP", "VAE"
_SIZE = ("INT", 16, 16384)
_LATENT_INPUTS = {"width": _SIZE, "height": _SIZE, "batch_size": ("INT", 1, 4096)}

# A class -> its inputs (a type of link, a folder, a list, or a type with its range) and outputs.
NODES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "CheckpointLoaderSimple": ({"ckpt_name": {"folder": "checkpoints"}}, [_MODEL, _CLIP, _VAE]),
    "UNETLoader": (
        {"unet_name": {"folder": "diffusion_models"}, "weight_dtype": ["default", "fp8_e4m3fn"]},
        [_MODEL],
    ),
    "CLIPLoader": ({"clip_name": {"folder": "text_encoders"}, "type": CLIP_TYPES}, [_CLIP]),
    "DualCLIPLoader": (
        {
            "clip_name1": {"folder": "text_encoders"},
            "clip_name2": {"folder": "text_encoders"},
            "type": DUAL_CLIP_TYPES,
        },
        [_CLIP],
    ),
    "VAELoader": ({"vae_name": {"folder": "vae"}}, [_VAE]),
    "LoraLoader": (
        {
            "model": _MODEL,
            "clip": _CLIP,
            "lora_name": {"folder": "loras"},
            "strength_model": ("FLOAT", -100, 100),
            "strength_clip": ("FLOAT", -100, 100),
        },
        [_MODEL, _CLIP],
    ),
    "LoraLoaderModelOnly": (
        {
            "model": _MODEL,
            "lora_name": {"folder": "loras"},
            "strength_model": ("FLOAT", -100, 100),
        },
        [_MODEL],
    ),
    "ModelSamplingAuraFlow": ({"model": _MODEL, "shift": ("FLOAT", 0, 100)}, [_MODEL]),
    "CLIPTextEncode": ({"clip": _CLIP, "text": ("STRING", None, None)}, ["CONDITIONING"]),
    "FluxGuidance": (
        {"conditioning": "CONDITIONING", "guidance": ("FLOAT", 0, 100)},
        ["CONDITIONING"],
    ),
    "EmptyLatentImage": (_LATENT_INPUTS, ["LATENT"]),
    "EmptySD3LatentImage": (_LATENT_INPUTS, ["LATENT"]),
    "KSampler": (
        {
            "model": _MODEL,
            "seed": ("INT", 0, 2**64 - 1),
            "steps": ("INT", 1, 10000),
            "cfg": ("FLOAT", 0, 100),
            "sampler_name": SAMPLERS,
            "scheduler": SCHEDULES,
            "positive": "CONDITIONING",
            "negative": "CONDITIONING",
            "latent_image": "LATENT",
            "denoise": ("FLOAT", 0, 1),
        },
        ["LATENT"],
    ),
    "VAEEncode": ({"pixels": "IMAGE", "vae": _VAE}, ["LATENT"]),
    "LoadImage": ({"image": {"folder": "input"}}, ["IMAGE", "MASK"]),
    "VAEDecode": ({"samples": "LATENT", "vae": _VAE}, ["IMAGE"]),
    "SaveImage": ({"images": "IMAGE", "filename_prefix": ("STRING", None, None)}, []),
    "PreviewImage": ({"images": "IMAGE"}, []),
}
_OUTPUTS = ("SaveImage", "PreviewImage")


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of this kind. Kinds: `close_before` (closed
    without reading), `hang_before` (as that, after `release`), `late` (nothing is done until
    `release`), `hang_after` (done, no answer until `release`), `close_after` (done, then closed),
    `half` (half of the answer's body), `cut` (the answer's body without its end, and well said so),
    `huge` (200 MB), `error_500` (500, then a reset)."""

    method: str
    path: str
    kind: str
    times: int = 1
    release: threading.Event = field(default_factory=threading.Event)
    met: threading.Event = field(default_factory=threading.Event)


class Interrupted(Exception):
    """The job that runs was interrupted."""


class FakeComfyUI:
    """The server; a context manager. Everything that tests look at is written under `lock`."""

    def __init__(self, *, new: bool = True, key: str = "", step_s: float = 0.002) -> None:
        self.new = new
        self.key = key
        self.step_s = step_s
        self.folders = copy.deepcopy(FOLDERS)
        self.lock = threading.Condition()
        self.submissions: list[str] = []
        """The id of each job that was queued."""
        self.graphs: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.runs: Counter[str] = Counter()
        """How often each id was begun."""
        self.cancels = 0
        self.lose_cancels = 0
        """So many cancels are answered well and do nothing."""
        self.failures: list[dict[str, Any]] = []
        """The `execution_error`s of the next jobs."""
        self.paint: Callable[[dict[str, Any], str], bytes] = paint
        self.partial_error = False
        """Whether a graph with a bad output among good ones is queued with its node_errors, as
        the real one does; here: every graph."""
        self.own_ids = True
        self.flags: dict[str, bool] = {}
        self.sockets: dict[str, _Socket] = {}
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.uploads: list[bytes] = []
        self._faults: list[Fault] = []
        self._pending: list[dict[str, Any]] = []
        self._running: dict[str, Any] | None = None
        self._history: dict[str, dict[str, Any]] = {}
        self._cache: dict[str, dict[str, Any]] = {}
        self._interrupt = False
        self._held_at: int | None = None
        self._generation = 0
        self._number = 0
        self._closed = False
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.up()
        threading.Thread(target=self._execute, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FakeComfyUI:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        with self.lock:
            self._closed = True
            self._held_at = None
            for fault in self._faults:
                fault.release.set()
            self.lock.notify_all()
        self._drop_sockets()
        self.down()

    # ------------------------------------------------------------------------------- what tests do

    def fault(self, method: str, path: str, kind: str, times: int = 1) -> Fault:
        """Let this go wrong; returns the fault, to be waited for and released."""
        fault = Fault(method, path, kind, times)
        with self.lock:
            self._faults.append(fault)
        return fault

    def hold(self, step: int = 1) -> None:
        """Let jobs stand still at this step until `go_on`."""
        with self.lock:
            self._held_at = step

    def go_on(self) -> None:
        with self.lock:
            self._held_at = None
            self.lock.notify_all()

    def down(self) -> None:
        """Refuse connections; the state stays, as behind a network that is away."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def up(self) -> None:
        """Listen, on the same port as before."""
        self._server = _Server(self.port, self)
        self.port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def restart(self, *, files: bool = True) -> None:
        """Forget queue, history and the job in hand, as a killed server; its files may stay."""
        with self.lock:
            self._generation += 1
            self._pending.clear()
            self._history.clear()
            self._cache.clear()
            self._running = None
            if not files:
                self.files.clear()
            self.lock.notify_all()
        self._drop_sockets()

    def queue_of(self) -> tuple[list[str], list[str]]:
        """The ids that run and those that wait."""
        with self.lock:
            running = [self._running["id"]] if self._running else []
            return running, [item["id"] for item in self._pending]

    def status(self, job_id: str) -> str:
        """What the new protocol would say of a job; `unknown` where it would answer 404."""
        with self.lock:
            job = self._job(job_id)
            return str(job["status"]) if job else "unknown"

    def occupy(self) -> str:
        """Let a job of somebody else run (`hold` first); returns its id."""
        job_id = str(uuid.uuid4())
        graph = {
            "1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64}},
            "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": job_id}},
        }
        with self.lock:
            self._queue(job_id, graph, "", ["9"])
            assert self.lock.wait_for(lambda: self.runs[job_id], 10), "it does not run"
        return job_id

    # ---------------------------------------------------------------------------------- the machine

    def _queue(self, job_id: str, graph: dict[str, Any], client: str, outputs: list[str]) -> None:
        self._number += 1
        self._pending.append(
            {
                "id": job_id,
                "number": self._number,
                "graph": graph,
                "client": client,
                "outputs": outputs,
            }
        )
        self.lock.notify_all()

    def _execute(self) -> None:
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self._pending or self._closed)
                if self._closed:
                    return
                item = self._pending.pop(0)
                generation = self._generation
                self._running = item
                self._interrupt = False
                self.runs[item["id"]] += 1
                self.lock.notify_all()
                failure = self.failures.pop(0) if self.failures else None
            messages: list[Any] = [["execution_start", {"prompt_id": item["id"]}]]
            outputs: dict[str, Any] = {}
            try:
                self._draw(item, generation, failure, outputs)
                name: str = "execution_success"
                data: dict[str, Any] = {"prompt_id": item["id"]}
            except Interrupted:
                name, data = "execution_interrupted", {"prompt_id": item["id"], "node_id": "1"}
            except _Failed as failed:
                name, data = "execution_error", {"prompt_id": item["id"], **failed.data}
            messages.append([name, data])
            self._tell(item, name, data)
            with self.lock:
                # The history is written after the message.
                self.lock.wait(0.01)
                if generation == self._generation:
                    success = name == "execution_success"
                    self._history[item["id"]] = {
                        "prompt": [item["number"], item["id"], item["graph"], {}, item["outputs"]],
                        "outputs": outputs,
                        "status": {
                            "status_str": "success" if success else "error",
                            "completed": success,
                            "messages": messages,
                        },
                        "meta": {},
                    }
                    self._running = None

    def _draw(
        self,
        item: dict[str, Any],
        generation: int,
        failure: dict[str, Any] | None,
        outputs: dict[str, Any],
    ) -> None:
        graph, job_id = item["graph"], item["id"]
        key = json.dumps(graph, sort_keys=True)
        if key in self._cache:
            outputs.update(self._cache[key])
            return
        samplers = [node for node in graph.values() if node["class_type"] == "KSampler"]
        steps = samplers[0]["inputs"]["steps"] if samplers else 3
        self._tell(item, "executing", {"node": "1", "prompt_id": job_id})
        for step in range(1, steps + 1):
            with self.lock:
                held = self.lock.wait_for(
                    lambda step=step: (  # type: ignore[misc]
                        self._held_at is None
                        or step < self._held_at
                        or self._interrupt
                        or generation != self._generation
                    ),
                    30,
                )
                assert held, "held for too long"
                if generation != self._generation:
                    raise Interrupted
                self.lock.wait_for(lambda: self._interrupt or self._closed, self.step_s)
                if self._interrupt:
                    raise Interrupted
            data = {"value": step, "max": steps, "prompt_id": job_id, "node": "3"}
            self._tell(item, "progress", data)
            self._frame(item)
        if failure is not None:
            raise _Failed({"node_id": "3", "node_type": "KSampler", "traceback": [], **failure})
        for node_id in item["outputs"]:
            node = graph[node_id]
            data_bytes = self.paint(graph, job_id)
            kept = node["class_type"] == "SaveImage"
            where = node["inputs"].get("filename_prefix", "temp") if kept else "temp"
            subfolder, _, stem = where.rpartition("/")
            folder = "output" if kept else "temp"
            with self.lock:
                number = 1
                while (folder, subfolder, f"{stem}_{number:05}_.png") in self.files:
                    number += 1
                name = f"{stem}_{number:05}_.png"
                self.files[folder, subfolder, name] = data_bytes
            image = {"filename": name, "subfolder": subfolder, "type": folder}
            outputs[node_id] = {"images": [image]}
        self._cache[key] = dict(outputs)

    def _tell(self, item: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
        if connection := self.sockets.get(item["client"]):
            connection.send(1, json.dumps({"type": kind, "data": data}).encode())

    def _frame(self, item: dict[str, Any]) -> None:
        connection = self.sockets.get(item["client"])
        if connection is None:
            return
        made = io.BytesIO()
        Image.new("RGB", (16, 16), (90, 20, 20)).save(made, "JPEG")
        if self.flags.get(item["client"]):
            about = {"node_id": "3", "prompt_id": item["id"], "image_type": "image/jpeg"}
            told = json.dumps(about).encode()
            head = struct.pack(">II", 4, len(told)) + told
        else:
            head = struct.pack(">II", 1, 1)
        connection.send(2, head + made.getvalue())

    def _drop_sockets(self) -> None:
        for connection in list(self.sockets.values()):
            connection.drop()

    # ------------------------------------------------------------------------------ what it answers

    def _job(self, job_id: str) -> dict[str, Any] | None:
        if entry := self._history.get(job_id):
            job: dict[str, Any] = {"id": job_id, "outputs": entry["outputs"]}
            status = "completed"
            for name, data in entry["status"]["messages"]:
                if name == "execution_interrupted":
                    status = "cancelled"
                elif name == "execution_error":
                    status = "failed"
                    job["execution_error"] = data
            return {**job, "status": status, "execution_status": entry["status"]}
        if self._running and self._running["id"] == job_id:
            return {"id": job_id, "status": "in_progress", "outputs_count": 0}
        if any(item["id"] == job_id for item in self._pending):
            return {"id": job_id, "status": "pending", "outputs_count": 0}
        return None

    def _dequeue(self, job_id: str) -> bool:
        before = len(self._pending)
        self._pending = [item for item in self._pending if item["id"] != job_id]
        return len(self._pending) < before

    def _interrupt_running(self, job_id: str | None) -> bool:
        if self._running is None or job_id not in (None, self._running["id"]):
            return False
        if self.lose_cancels:
            self.lose_cancels -= 1
            return True
        self._interrupt = True
        self.lock.notify_all()
        return True

    def choices(self, spec: Any) -> list[str]:
        return self.folders[spec["folder"]] if isinstance(spec, dict) else spec

    def object_info(self, name: str) -> dict[str, Any]:
        if name not in NODES:
            return {}
        inputs, outputs = NODES[name]
        required: dict[str, Any] = {}
        for key, spec in inputs.items():
            if isinstance(spec, dict | list):
                # Both spellings stand in the real one's answers.
                values = self.choices(spec)
                new_style = self.new and key != "ckpt_name"
                required[key] = ["COMBO", {"options": values}] if new_style else [values, {}]
            elif isinstance(spec, tuple):
                required[key] = [spec[0], {"min": spec[1], "max": spec[2]}]
            else:
                required[key] = [spec]
        return {name: {"input": {"required": required}, "output": outputs, "name": name}}

    def answer(
        self, method: str, path: str, query: dict[str, str], body: bytes
    ) -> tuple[int, str, bytes]:
        """The status, the content type and the body of an answer."""
        parts = path.strip("/").split("/")
        if (method, parts) == ("POST", ["upload", "image"]):
            return self._post_upload(body)
        document = json.loads(body) if body else {}
        match method, parts:
            case "GET", ["system_stats"]:
                version = "0.30.0" if self.new else "0.3.75"
                return _json({"system": {"comfyui_version": version}, "devices": []})
            case "GET", ["object_info", name]:
                return _json(self.object_info(name))
            case "GET", ["models", folder]:
                if folder not in self.folders:
                    return 404, "application/octet-stream", b""
                return _json(self.folders[folder])
            case "POST", ["prompt"]:
                return self._post_prompt(document)
            case "GET", ["queue"]:
                running = [self._running] if self._running else []
                return _json(
                    {
                        "queue_running": [_queue_item(item) for item in running],
                        "queue_pending": [_queue_item(item) for item in self._pending],
                    }
                )
            case "POST", ["queue"]:
                self.cancels += 1
                for job_id in document.get("delete", []):
                    self._dequeue(job_id)
                return 200, "text/plain", b""
            case "POST", ["interrupt"]:
                self.cancels += 1
                self._interrupt_running(document.get("prompt_id"))
                return 200, "text/plain", b""
            case "GET", ["history", job_id]:
                entry = self._history.get(job_id)
                return _json({job_id: entry} if entry else {})
            case "GET", ["view"]:
                place = (query.get("type", "output"), query["subfolder"], query["filename"])
                if ".." in query["filename"]:
                    return 400, "text/plain", b""
                if place not in self.files:
                    return 404, "application/octet-stream", b""
                return 200, "image/png", self.files[place]
            case "GET", ["api", "jobs"] if self.new:
                return _json({"jobs": [], "pagination": {"total": 0}})
            case "GET", ["api", "jobs", job_id] if self.new:
                job = self._job(job_id)
                return _json(job) if job else _json({"error": "Job not found"}, 404)
            case "POST", ["api", "jobs", job_id, "cancel"] if self.new:
                self.cancels += 1
                done = self._interrupt_running(job_id) or self._dequeue(job_id)
                return _json({"cancelled": done})
            case "POST", _:
                return 405, "application/octet-stream", b""
        return 404, "application/octet-stream", b""

    def _post_upload(self, body: bytes) -> tuple[int, str, bytes]:
        """A form, taken apart by the standard library."""
        boundary = body.split(b"\r\n", 1)[0][2:]
        head = b'Content-Type: multipart/form-data; boundary="' + boundary + b'"\r\n\r\n'
        form = email.message_from_bytes(head + body)
        parts: dict[str, Any] = {}
        for part in form.walk():
            if not part.is_multipart():
                name = part.get_param("name", header="content-disposition")
                parts[str(name)] = part
        folder = parts["subfolder"].get_payload().strip() if "subfolder" in parts else ""
        if "image" not in parts or ".." in folder:
            return 400, "text/plain", b""
        # Else it would give a name that is taken a number.
        assert parts["overwrite"].get_payload().strip() == "true"
        data: bytes = parts["image"].get_payload(decode=True)
        name = parts["image"].get_filename()
        self.uploads.append(data)
        self.files["input", folder, name] = data
        if f"{folder}/{name}" not in self.folders["input"]:
            self.folders["input"].append(f"{folder}/{name}")
        return _json({"name": name, "subfolder": folder, "type": "input"})

    def _post_prompt(self, document: dict[str, Any]) -> tuple[int, str, bytes]:
        graph = document["prompt"]
        job_id = document.get("prompt_id")
        if job_id is None or not self.own_ids:
            job_id = str(uuid.uuid4())
        elif self.new and not _is_canonical(job_id):
            error = {"type": "invalid_prompt_id", "message": "prompt_id must be a valid UUID"}
            return _json({"error": error, "node_errors": {}}, 400)
        refusal, node_errors, outputs = validate(graph, self)
        if self.partial_error:
            refusal = None
            node_errors = {"9": {"class_type": "SaveImage", "errors": []}}
        if refusal is not None:
            return _json({"error": refusal, "node_errors": node_errors}, 400)
        self.submissions.append(job_id)
        self.graphs[job_id] = graph
        self._queue(job_id, graph, document.get("client_id", ""), outputs)
        return _json({"prompt_id": job_id, "number": self._number, "node_errors": node_errors})

    def take_fault(self, method: str, path: str) -> Fault | None:
        for fault in self._faults:
            if fault.times and fault.method == method and path.startswith(fault.path):
                fault.times -= 1
                return fault
        return None


class _Failed(Exception):
    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__()
        self.data = data


def _json(value: Any, status: int = 200) -> tuple[int, str, bytes]:
    return status, "application/json; charset=utf-8", json.dumps(value).encode()


def _queue_item(item: dict[str, Any]) -> list[Any]:
    return [item["number"], item["id"], item["graph"], {}, item["outputs"]]


def _is_canonical(value: Any) -> bool:
    with contextlib.suppress(ValueError, AttributeError):
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    return False


# -------------------------------------------------------------------------------------- its checks


def validate(
    graph: dict[str, Any], server: FakeComfyUI
) -> tuple[dict[str, Any] | None, dict[str, Any], list[str]]:
    """(the refusal or None, node_errors, the ids of the output nodes)."""
    for node_id, node in graph.items():
        if node.get("class_type") not in NODES:
            info = {"node_id": node_id, "class_type": node.get("class_type")}
            error = {"type": "missing_node_type", "message": "Node not found", "extra_info": info}
            return error, {}, []
    outputs = [node_id for node_id, node in graph.items() if node["class_type"] in _OUTPUTS]
    if not outputs:
        return {"type": "prompt_no_outputs", "message": "Prompt has no outputs"}, {}, []
    errors: dict[str, Any] = {}
    for node_id, node in graph.items():
        found = list(_node_errors(node, graph, server))
        if found:
            errors[node_id] = {
                "class_type": node["class_type"],
                "dependent_outputs": outputs,
                "errors": found,
            }
    if errors:
        refusal = {"type": "prompt_outputs_failed_validation", "message": "failed validation"}
        return refusal, errors, []
    return None, {}, outputs


def _node_errors(
    node: dict[str, Any], graph: dict[str, Any], server: FakeComfyUI
) -> Iterator[dict[str, Any]]:
    inputs, _ = NODES[node["class_type"]]
    for name, spec in inputs.items():
        if name not in node["inputs"]:
            yield _error("required_input_missing", name)
            continue
        value = node["inputs"][name]
        if isinstance(spec, str):
            linked = isinstance(value, list) and len(value) == 2 and value[0] in graph
            if not linked:
                yield _error("bad_linked_input", name)
                continue
            _, made = NODES[graph[value[0]]["class_type"]]
            if value[1] >= len(made) or made[value[1]] != spec:
                yield _error("return_type_mismatch", name)
        elif isinstance(spec, tuple):
            kind, low, high = spec
            wanted = {"INT": int, "FLOAT": int | float, "STRING": str}[kind]
            if not isinstance(value, wanted) or isinstance(value, bool):
                yield _error("invalid_input_type", name, value)
            elif low is not None and value < low:
                yield _error("value_smaller_than_min", name, value)
            elif high is not None and value > high:
                yield _error("value_bigger_than_max", name, value)
        elif value not in server.choices(spec):
            yield _error("value_not_in_list", name, value)


def _error(kind: str, name: str, value: Any = None) -> dict[str, Any]:
    info = {"input_name": name, "received_value": value, "input_config": None}
    return {"type": kind, "message": kind, "details": name, "extra_info": info}


def paint(graph: dict[str, Any], job_id: str) -> bytes:
    """A picture of the graph's size, coloured by all of it but the file's name."""
    width, height = 64, 64
    told: list[Any] = []
    for node in graph.values():
        inputs = node["inputs"]
        if "width" in inputs:
            width, height = inputs["width"], inputs["height"]
        told.append({key: value for key, value in inputs.items() if key != "filename_prefix"})
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", json.dumps(graph))
    image = Image.new("RGB", (width, height), (digest[0] | 1, digest[1], digest[2]))
    image.putpixel((0, 0), (255, 255, 255))
    made = io.BytesIO()
    image.save(made, "PNG", pnginfo=text)
    return made.getvalue()


# ----------------------------------------------------------------------------------------- the wire


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, comfy: FakeComfyUI) -> None:
        self.comfy = comfy
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        comfy = self.server.comfy
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        query.setdefault("subfolder", "")
        self.close_connection = True
        with comfy.lock:
            comfy.requests.append((method, parts.path))
            fault = comfy.take_fault(method, parts.path)
        kind = fault.kind if fault else ""
        if kind == "close_before":
            return
        if fault and kind == "hang_before":
            fault.met.set()
            fault.release.wait(30)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault:
            fault.met.set()
        if comfy.key and self.headers.get("Authorization") != f"Bearer {comfy.key}":
            self._send(401, "text/plain", b"")
            return
        if parts.path == "/ws":
            self._socket(query["clientId"])
            return
        if fault and kind == "late":
            fault.release.wait(30)
        if kind == "error_500":
            self._send(500, "text/plain", b"Internal Server Error")
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        with comfy.lock:
            status, content_type, answer = comfy.answer(method, parts.path, query, body)
        if fault and kind == "hang_after":
            fault.release.wait(30)
            return
        if kind == "close_after":
            return
        if kind == "huge":
            self._pour(200 * 1024 * 1024)
            return
        if kind == "cut":
            answer = answer[: len(answer) // 2]
        self._send(status, content_type, answer, half=kind == "half")

    def _send(self, status: int, content_type: str, body: bytes, *, half: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)

    def _pour(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        piece = b" " * 65536
        for _ in range(size // len(piece)):
            self.wfile.write(piece)

    def _socket(self, client_id: str) -> None:
        comfy = self.server.comfy
        magic = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(magic.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        connection = _Socket(self.connection)
        comfy.sockets[client_id] = connection
        data = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": client_id}
        connection.send(1, json.dumps({"type": "status", "data": data}).encode())
        try:
            while (frame := self._frame()) is not None:
                message = json.loads(frame)
                if message["type"] == "feature_flags":
                    comfy.flags[client_id] = message["data"].get("supports_preview_metadata", False)
        finally:
            # As the real one: whichever socket has the id by now loses it.
            comfy.sockets.pop(client_id, None)

    def _frame(self) -> bytes | None:
        """The text of a client's next frame; None at its end. No fragments, no long frames."""
        head = self.rfile.read(2)
        if len(head) < 2 or head[0] & 15 == 8:
            return None
        size = head[1] & 127
        if size == 126:
            (size,) = struct.unpack(">H", self.rfile.read(2))
        mask = self.rfile.read(4)
        data = self.rfile.read(size)
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


class _Socket:
    """A server's end of a websocket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, opcode: int, data: bytes) -> None:
        if len(data) < 126:
            head = struct.pack(">BB", 128 | opcode, len(data))
        elif len(data) < 65536:
            head = struct.pack(">BBH", 128 | opcode, 126, len(data))
        else:
            head = struct.pack(">BBQ", 128 | opcode, 127, len(data))
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(head + data)

    def drop(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
