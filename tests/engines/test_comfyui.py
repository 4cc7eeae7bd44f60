"""The engine kind `comfyui`, against a fake of both protocols, and a real server where there is
one."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from seidra.engines import samplers
from seidra.engines.base import (
    EngineError,
    EngineUnavailable,
    Lora,
    Options,
    Picture,
    RenderCancelled,
    RenderContext,
    RenderDetached,
    RenderedImage,
    RenderRequest,
)
from seidra.engines.comfyui import ComfyUIEngine, listener
from seidra.engines.comfyui.client import Client
from seidra.engines.comfyui.engine import Patience
from seidra.engines.comfyui.stock import guess_family, matches
from seidra.engines.wire import Wire
from seidra.errors import StartError
from tests.engines.fake_comfyui import FakeComfyUI

REAL = os.environ.get("SEIDRA_TEST_COMFYUI_URL", "")
PROMPT = "a red fox, secret garden"
REQUEST = RenderRequest(
    PROMPT, 7, 64, 64, negative_prompt="blurred", steps=4, model_name="sd15", scheduler="euler"
)


class QuickEngine(ComfyUIEngine):
    """The engine with the waits of a test."""

    patience = Patience(
        away_s=1.5,
        unknown_wait_s=0.05,
        unanswered_s=0.6,
        first_poll_s=0.01,
        poll_s=0.1,
        heard_poll_s=0.2,
        stop_s=5.0,
        stop_wait_s=0.02,
    )


class Notes:
    """What a render says to its caller, in order; `state` outlives the process."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.state: dict[str, Any] = dict(state or {})
        self.said: list[str] = []
        self.fractions: list[float] = []
        self.frames: list[bytes] = []
        self.begun = threading.Event()
        """Set by the first progress of a running job."""
        self.context = RenderContext(
            self._progress, self._remember, self.state, self._submit, self.frames.append
        )

    def _progress(self, fraction: float) -> None:
        self.fractions.append(fraction)
        if fraction > 0:
            self.begun.set()

    def _remember(self, state: dict[str, Any]) -> None:
        self.state = state
        self.said.append("remember")

    def _submit(self) -> None:
        self.said.append("submit")

    @property
    def submissions(self) -> int:
        return self.said.count("submit")


class Running:
    """A render in a thread."""

    def __init__(
        self, engine: ComfyUIEngine, request: RenderRequest = REQUEST, notes: Notes | None = None
    ) -> None:
        self.notes = notes or Notes()
        self.images: list[RenderedImage] = []
        self.failure: BaseException | None = None
        self._work = (engine, request)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        engine, request = self._work
        try:
            self.images.extend(engine.render(request, self.notes.context))
        except BaseException as failure:  # the test looks at it
            self.failure = failure

    def result(self, seconds: float = 30) -> list[RenderedImage]:
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the render does not end"
        if self.failure:
            raise self.failure
        return self.images


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for a condition; fail after a deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
    return value


@pytest.fixture(params=["new", "old"])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeComfyUI]:
    with FakeComfyUI(new=request.param == "new") as server:
        yield server


@pytest.fixture(params=["sockets", "polling"])
def hearing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the package for sockets, and without."""
    if request.param == "polling":
        monkeypatch.setattr(listener, "HAS_SOCKETS", False)
    return str(request.param)


def engine_of(url: str, **options: Any) -> QuickEngine:
    return QuickEngine("studio", Options(url=url, **options))


def render(
    fake: FakeComfyUI, request: RenderRequest = REQUEST, notes: Notes | None = None, **options: Any
) -> RenderedImage:
    """The one picture of a request."""
    [image] = Running(engine_of(fake.url, **options), request, notes).result()
    return image


def failure_of(fake: FakeComfyUI, request: RenderRequest = REQUEST, **options: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        render(fake, request, **options)
    return caught.value


def nodes(graph: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The inputs of all nodes of a class."""
    return [node["inputs"] for node in graph.values() if node["class_type"] == kind]


# ---------------------------------------------------- twins: what a real server must do as the fake


@pytest.fixture(params=["new", "old", "real"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server."""
    if request.param == "real":
        if not REAL:
            pytest.skip("SEIDRA_TEST_COMFYUI_URL names no ComfyUI to try this with")
        yield REAL
        return
    with FakeComfyUI(new=request.param == "new", step_s=0.01) as fake:
        yield fake.url


def a_request(url: str, steps: int = 4) -> RenderRequest:
    """A small request for the first checkpoint of a server."""
    capabilities = QuickEngine("studio", Options(url=url)).probe()
    [model, *_] = [one.file for one in capabilities.models.values()]
    # Of its own, so that no server's cache has it.
    return replace(REQUEST, model_name=model, steps=steps, seed=uuid.uuid4().int % 2**63)


def fate(url: str, job_id: str) -> str:
    return Client(Wire(url)).ask(job_id).status


def test_twin_probe(server: str) -> None:
    capabilities = engine_of(server).probe()
    assert capabilities.version
    assert capabilities.models
    assert {"euler", "euler_a", "dpmpp_2m_karras", "ddim", "unipc"} <= set(capabilities.schedulers)
    assert "karras" in capabilities.foreign["schedules"]
    assert {"own_id", "ask", "cancel_running", "seed"} <= capabilities.features


def test_twin_render(server: str) -> None:
    notes = Notes()
    request = a_request(server)
    [image] = Running(engine_of(server), request, notes).result(300)
    with Image.open(io.BytesIO(image.data)) as picture:
        assert (picture.format, picture.size) == ("PNG", (64, 64))
    assert (image.mime_type, image.width, image.height) == ("image/png", 64, 64)
    assert (image.seed, image.position) == (request.seed, 0)
    assert (image.used["model"], image.used["sampler"]) == (request.model_name, "euler")
    assert image.dropped == []
    assert notes.said == ["remember", "submit"]
    assert notes.fractions == sorted(notes.fractions)
    assert notes.fractions[-1] == 1.0


def test_twin_each_picture_as_if_made_alone(server: str) -> None:
    engine, request = engine_of(server), a_request(server)
    pictures = [Picture(position, request.seed + position) for position in (0, 2)]
    images = Running(engine, replace(request, pictures=pictures)).result(300)
    assert [(image.position, image.seed) for image in images] == [
        (picture.position, picture.seed) for picture in pictures
    ]
    assert images[0].data != images[1].data
    [alone] = Running(engine, replace(request, seed=request.seed + 2)).result(300)
    pixels = [
        Image.open(io.BytesIO(data)).convert("RGB").tobytes()
        for data in (images[1].data, alone.data)
    ]
    assert pixels[0] == pixels[1]


def test_twin_missing_model_is_named_and_nothing_sent(server: str) -> None:
    notes = Notes()
    running = Running(engine_of(server), replace(REQUEST, model_name="nope-9"), notes)
    with pytest.raises(EngineError, match="nope-9") as caught:
        running.result()
    assert (caught.value.permanent, caught.value.code) == (True, "model_missing")
    assert notes.said == []


def test_twin_server_names_a_missing_file_itself(server: str) -> None:
    options = {"models": {"mine": {"file": "gone-7.safetensors"}}}
    running = Running(engine_of(server, **options), replace(REQUEST, model_name="mine"))
    with pytest.raises(EngineError, match=r"The model gone-7\.safetensors is not on this engine"):
        running.result()


def test_twin_cancel_while_running(server: str) -> None:
    running = Running(engine_of(server), a_request(server, steps=150))
    assert running.notes.begun.wait(120)
    running.notes.context.cancel()
    with pytest.raises(RenderCancelled):
        running.result()
    assert fate(server, running.notes.state["id"]) == "cancelled"


def test_twin_cancel_at_once_after_sending(server: str) -> None:
    notes = Notes()
    running = Running(engine_of(server), a_request(server, steps=150), notes)
    until(lambda: notes.submissions)
    notes.context.cancel()
    with pytest.raises(RenderCancelled):
        running.result()
    assert fate(server, notes.state["id"]) in ("cancelled", "unknown")


def test_twin_taken_over_without_sending_again(server: str) -> None:
    request = a_request(server, steps=100)
    first = Running(engine_of(server), request)
    assert first.notes.begun.wait(120)
    first.notes.context.detach()
    with pytest.raises(RenderDetached):
        first.result()
    assert fate(server, first.notes.state["id"]) == "running"
    notes = Notes(first.notes.state)
    [image] = Running(engine_of(server), request, notes).result(300)
    assert notes.submissions == 0
    assert image.metadata["engine_job_id"] == first.notes.state["id"]


def test_twin_finished_job_is_fetched(server: str) -> None:
    request, notes = a_request(server), Notes()
    [image] = Running(engine_of(server), request, notes).result(300)
    again = Notes(notes.state)
    [fetched] = Running(engine_of(server), request, again).result()
    assert fetched.data == image.data
    assert again.said == []


def test_twin_unknown_job_is_sent_anew(server: str) -> None:
    lost = str(uuid.uuid4())
    notes = Notes({"id": lost, "client": uuid.uuid4().hex, "position": 0})
    [image] = Running(engine_of(server), a_request(server), notes).result(300)
    assert image.metadata["engine_job_id"] != lost
    assert notes.said == ["remember", "submit"]


def test_twin_abandon(server: str) -> None:
    first = Running(engine_of(server), a_request(server, steps=150))
    assert first.notes.begun.wait(120)
    first.notes.context.detach()
    state = first.notes.state
    with pytest.raises(RenderDetached):
        first.result()
    assert engine_of(server).abandon(state)
    assert fate(server, state["id"]) == "cancelled"
    assert engine_of(server).abandon(state), "what is over already"


# ------------------------------------------------------------------------------ how it is followed


def test_progress_steps_and_frames(fake: FakeComfyUI) -> None:
    fake.step_s = 0.02
    notes = Notes()
    render(fake, replace(REQUEST, steps=10), notes)
    assert notes.context.step == (10, 10)
    assert [fraction for fraction in notes.fractions if 0.1 < fraction < 0.9]
    assert notes.frames
    with Image.open(io.BytesIO(notes.frames[0])) as frame:
        assert frame.format == "JPEG"


def test_frame_without_an_id(fake: FakeComfyUI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_FLAGS", b'{"type": "feature_flags", "data": {}}')
    fake.step_s = 0.05
    notes = Notes()
    render(fake, REQUEST, notes)
    assert notes.frames
    assert notes.frames[0].startswith(b"\xff\xd8")


@pytest.mark.usefixtures("hearing")
def test_render_with_and_without_sockets(fake: FakeComfyUI) -> None:
    assert render(fake).width == 64
    assert len(fake.submissions) == 1


def test_without_sockets_nothing_is_promised(
    fake: FakeComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seidra.engines.comfyui.engine.HAS_SOCKETS", False)
    assert not engine_of(fake.url).probe().features & {"progress", "frames"}


def test_socket_that_dies_is_made_up_for_by_polling(fake: FakeComfyUI) -> None:
    fake.hold(2)
    running = Running(engine_of(fake.url))
    assert running.notes.begun.wait(10)
    fake._drop_sockets()
    fake.go_on()
    assert len(running.result()) == 1


def test_socket_that_hangs_holds_nothing_up(fake: FakeComfyUI) -> None:
    hanging = fake.fault("GET", "/ws", "hang_before")
    began = time.monotonic()
    render(fake)
    assert hanging.met.is_set()
    assert time.monotonic() - began < 4


def test_second_sampler_does_not_turn_progress_back(fake: FakeComfyUI) -> None:
    notes = Notes()
    pictures = [Picture(0, 1), Picture(1, 2), Picture(2, 3)]
    Running(engine_of(fake.url), replace(REQUEST, pictures=pictures), notes).result()
    assert notes.fractions == sorted(notes.fractions)
    assert notes.said == ["remember", "submit", "remember", "remember"]


def test_queue_of_others_is_waited_for_without_a_limit(fake: FakeComfyUI) -> None:
    fake.hold()
    fake.occupy()
    running = Running(engine_of(fake.url, timeout_s=0))
    until(lambda: fake.submissions)
    until(lambda: len([path for _, path in fake.requests if path.startswith(POLLS)]) > 10)
    assert running.thread.is_alive()
    running.notes.context.detach()


POLLS = ("/api/jobs/", "/history/")


def test_running_job_without_progress_is_given_up(fake: FakeComfyUI) -> None:
    fake.hold()
    running = Running(engine_of(fake.url, timeout_s=0))
    with pytest.raises(EngineError, match="no progress") as caught:
        running.result()
    assert caught.value.code == "timed_out"
    assert fake.status(fake.submissions[0]) == "cancelled"
    assert running.notes.state["id"] == ""


def test_job_that_cannot_be_stopped_is_kept_in_mind(
    fake: FakeComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuickEngine, "patience", replace(QuickEngine.patience, stop_s=0.3))
    fake.hold()
    orders = "/api/jobs/" if fake.new else "/interrupt"
    fake.fault("POST", orders, "close_before", times=999)
    running = Running(engine_of(fake.url, timeout_s=0))
    with pytest.raises(EngineError, match="no progress"):
        running.result()
    assert running.notes.state["id"] == fake.submissions[0]
    fake.go_on()
    assert render(fake, REQUEST, Notes(running.notes.state)).width == 64
    assert len(fake.submissions) == 1


# ----------------------------------------------------------------------------------- cancel, leave


@pytest.mark.usefixtures("hearing")
def test_cancel_of_a_pending_job_leaves_the_running_one(fake: FakeComfyUI) -> None:
    fake.hold()
    other = fake.occupy()
    running = Running(engine_of(fake.url))
    until(lambda: fake.queue_of()[1])
    running.notes.context.cancel()
    with pytest.raises(RenderCancelled):
        running.result()
    assert fake.queue_of() == ([other], [])
    assert fake.status(fake.submissions[0]) == "unknown"


def test_lost_cancel_is_repeated(fake: FakeComfyUI) -> None:
    fake.lose_cancels = 3
    fake.hold(3)
    running = Running(engine_of(fake.url))
    assert running.notes.begun.wait(10)
    running.notes.context.cancel()
    with pytest.raises(RenderCancelled):
        running.result()
    assert fake.cancels >= 4
    assert fake.status(fake.submissions[0]) == "cancelled"


def test_cancel_returns_at_once_to_who_asks_for_it(fake: FakeComfyUI) -> None:
    hanging = fake.fault("GET", "/api/jobs/" if fake.new else "/history/", "hang_before", 2)
    running = Running(engine_of(fake.url))
    assert hanging.met.wait(10)
    began = time.monotonic()
    running.notes.context.cancel()
    assert time.monotonic() - began < 0.5
    with pytest.raises(RenderCancelled):
        running.result()
    assert time.monotonic() - began < 3, "nothing was sent, and so nothing has to be stopped"
    assert fake.submissions == []


def test_cancel_while_the_answer_to_sending_is_awaited(fake: FakeComfyUI) -> None:
    fake.hold()
    hanging = fake.fault("POST", "/prompt", "hang_after")
    running = Running(engine_of(fake.url))
    assert hanging.met.wait(10)
    until(lambda: fake.submissions)
    running.notes.context.cancel()
    with pytest.raises(RenderCancelled):
        running.result()
    assert fake.status(fake.submissions[0]) in ("cancelled", "unknown")
    assert fake.queue_of() == ([], [])


def test_cancel_before_a_late_job_comes_stops_it_too(fake: FakeComfyUI) -> None:
    fake.hold()
    late = fake.fault("POST", "/prompt", "late")
    running = Running(engine_of(fake.url))
    assert late.met.wait(10)
    running.notes.context.cancel()
    late.release.set()
    with pytest.raises(RenderCancelled):
        running.result()
    assert fake.submissions
    assert fake.queue_of() == ([], [])


def test_detach_cancels_nothing(fake: FakeComfyUI) -> None:
    fake.hold(2)
    running = Running(engine_of(fake.url))
    assert running.notes.begun.wait(10)
    running.notes.context.detach()
    with pytest.raises(RenderDetached):
        running.result()
    assert fake.cancels == 0
    fake.go_on()
    until(lambda: fake.status(fake.submissions[0]) == "completed")


def test_lost_claim_sends_nothing(fake: FakeComfyUI) -> None:
    def gone(state: dict[str, Any]) -> None:
        raise RenderDetached

    context = RenderContext(on_remember=gone)
    with pytest.raises(RenderDetached):
        list(engine_of(fake.url).render(REQUEST, context))
    assert fake.submissions == []


def test_abandon_pending_and_nothing(fake: FakeComfyUI) -> None:
    fake.hold()
    other = fake.occupy()
    running = Running(engine_of(fake.url))
    until(lambda: fake.queue_of()[1])
    running.notes.context.detach()
    engine = engine_of(fake.url)
    assert engine.abandon(running.notes.state)
    assert fake.queue_of() == ([other], [])
    assert engine.abandon({})
    assert engine.abandon({"id": ""})
    fake.down()
    with pytest.raises(EngineUnavailable):
        engine.abandon(running.notes.state)


# ---------------------------------------------------------------- faults, and how often it is sent


def test_server_that_is_away_is_sent_nothing(fake: FakeComfyUI) -> None:
    fake.down()
    notes = Notes()
    with pytest.raises(EngineUnavailable, match="refuses connections"):
        Running(engine_of(fake.url), REQUEST, notes).result()
    assert notes.said == []
    with pytest.raises(EngineUnavailable):
        engine_of(fake.url).probe()


def test_server_that_goes_away_between_two_jobs(fake: FakeComfyUI) -> None:
    engine, notes = engine_of(fake.url), Notes()
    Running(engine).result()
    fake.down()
    with pytest.raises(EngineUnavailable):
        Running(engine, REQUEST, notes).result()
    assert notes.said == []


@pytest.mark.parametrize("kind", ["hang_after", "close_after"])
def test_lost_answer_to_sending_is_one_submission(fake: FakeComfyUI, kind: str) -> None:
    fault = fake.fault("POST", "/prompt", kind)
    running = Running(engine_of(fake.url))
    assert fault.met.wait(10)
    if kind == "hang_after":
        until(lambda: fake.submissions)
        fault.release.set()
    assert len(running.result()) == 1
    assert len(fake.submissions) == 1
    assert running.notes.submissions == 1


@pytest.mark.parametrize("kind", ["close_before", "hang_before"])
def test_job_that_never_came_is_sent_again(fake: FakeComfyUI, kind: str) -> None:
    fault = fake.fault("POST", "/prompt", kind)
    fault.release.set()
    running = Running(engine_of(fake.url))
    [image] = running.result()
    assert fake.submissions == [image.metadata["engine_job_id"]]
    assert running.notes.submissions == 2
    assert image.seed == 7


def test_job_that_comes_late_is_waited_for(
    fake: FakeComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seidra.engines.comfyui.client._SUBMIT_SILENCE_S", 0.1)
    late = fake.fault("POST", "/prompt", "late")
    running = Running(engine_of(fake.url))
    assert late.met.wait(10)
    asked = len(fake.requests)
    # It gave the answer up, and asks after the job that nobody knows yet.
    until(lambda: len(fake.requests) > asked + 3)
    late.release.set()
    assert len(running.result()) == 1
    assert len(fake.submissions) == 1


def test_server_error_to_sending_counts_and_next_attempt_sends(fake: FakeComfyUI) -> None:
    fake.fault("POST", "/prompt", "error_500")
    notes = Notes()
    with pytest.raises(EngineError) as caught:
        Running(engine_of(fake.url), REQUEST, notes).result()
    assert not caught.value.permanent
    assert not isinstance(caught.value, EngineUnavailable)
    again = Notes(notes.state)
    assert len(Running(engine_of(fake.url), REQUEST, again).result()) == 1
    assert len(fake.submissions) == 1


@pytest.mark.parametrize("kind", ["error_500", "close_after", "half"])
def test_poll_that_fails_is_repeated(fake: FakeComfyUI, kind: str) -> None:
    fake.hold(2)
    running = Running(engine_of(fake.url))
    assert running.notes.begun.wait(10)
    fault = fake.fault("GET", "/api/jobs/" if fake.new else "/history/", kind, times=2)
    assert fault.met.wait(10)
    fake.go_on()
    assert len(running.result()) == 1
    assert len(fake.submissions) == 1


def test_network_that_is_away_for_a_moment(fake: FakeComfyUI) -> None:
    fake.hold(2)
    running = Running(engine_of(fake.url))
    assert running.notes.begun.wait(10)
    fake.down()
    fake.go_on()
    time.sleep(0.3)  # the time that it is away, and not a wait for anything
    fake.up()
    assert len(running.result()) == 1
    assert len(fake.submissions) == 1


def test_network_that_stays_away_lets_the_job_wait(fake: FakeComfyUI) -> None:
    fake.hold(2)
    running = Running(engine_of(fake.url))
    assert running.notes.begun.wait(10)
    fake.down()
    with pytest.raises(EngineUnavailable):
        running.result()
    fake.up()
    fake.go_on()
    notes = Notes(running.notes.state)
    assert len(Running(engine_of(fake.url), REQUEST, notes).result()) == 1
    assert fake.runs.total() == len(fake.submissions) == 1
    assert notes.submissions == 0


def test_restarted_server_is_sent_the_job_again(fake: FakeComfyUI) -> None:
    fake.hold(2)
    running = Running(engine_of(fake.url))
    assert running.notes.begun.wait(10)
    fake.restart()
    fake.go_on()
    [image] = running.result()
    assert len(fake.submissions) == 2
    assert len(set(fake.submissions)) == 2
    assert running.notes.submissions == 2
    seeds = [nodes(graph, "KSampler")[0]["seed"] for graph in fake.graphs.values()]
    assert seeds == [7, 7]
    assert image.metadata["engine_job_id"] == fake.submissions[1]


def test_restarted_server_still_has_the_file(fake: FakeComfyUI) -> None:
    notes = Notes()
    image = render(fake, REQUEST, notes)
    fake.restart()
    again = Notes(notes.state)
    [found] = Running(engine_of(fake.url), REQUEST, again).result()
    assert found.data == image.data
    assert len(fake.submissions) == 1
    assert again.submissions == 0


def test_half_written_file_of_a_restarted_server_is_not_taken(fake: FakeComfyUI) -> None:
    notes = Notes()
    image = render(fake, REQUEST, notes)
    fake.restart()
    place = ("output", "seidra", f"{notes.state['id']}_00001_.png")
    fake.files[place] = image.data[: len(image.data) // 2]
    again = Notes(notes.state)
    assert len(Running(engine_of(fake.url), REQUEST, again).result()) == 1
    assert len(fake.submissions) == 2


def test_server_that_always_forgets(fake: FakeComfyUI) -> None:
    fake.hold()
    running = Running(engine_of(fake.url))
    for sent in (1, 2, 3):
        until(lambda sent=sent: len(fake.submissions) == sent)  # type: ignore[misc]
        until(lambda: fake.queue_of()[0])
        fake.restart()
    with pytest.raises(EngineError, match="forgets") as caught:
        running.result()
    assert not caught.value.permanent
    assert len(fake.submissions) == 3


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("moment", ["remembered", "sent", "running", "finished"])
def test_killed_and_taken_up_is_one_submission(fake: FakeComfyUI, moment: str) -> None:
    """A new engine object with nothing but the state that was kept."""
    fake.hold(2)
    notes = Notes()
    if moment == "remembered":

        def die() -> None:
            raise Killed

        notes.context = RenderContext(on_remember=notes._remember, on_submit=die)
        with pytest.raises(Killed):
            Running(engine_of(fake.url), REQUEST, notes).result()
        assert fake.submissions == []
        fake.go_on()
    else:
        if moment == "sent":
            fake.fault("POST", "/prompt", "hang_after")
        first = Running(engine_of(fake.url), REQUEST, notes)
        until(lambda: fake.submissions)
        if moment == "running":
            assert notes.begun.wait(10)
        # To be detached is to be gone for the server: nothing is said any more.
        notes.context.detach()
        with pytest.raises(RenderDetached):
            first.result()
        fake.go_on()
        if moment == "finished":
            until(lambda: fake.status(fake.submissions[0]) == "completed")
    again = Notes(notes.state)
    assert len(Running(engine_of(fake.url), REQUEST, again).result()) == 1
    assert fake.runs.total() == len(fake.submissions) == 1
    assert fake.cancels == 0
    assert again.submissions == (1 if moment == "remembered" else 0)


def test_only_the_missing_pictures_are_made(fake: FakeComfyUI) -> None:
    """Killed while the second of three was made, with the first one kept."""
    pictures = [Picture(position, 10 + position) for position in range(3)]
    notes = Notes()
    first = Running(engine_of(fake.url), replace(REQUEST, pictures=pictures), notes)
    until(lambda: first.images)
    fake.hold()
    until(lambda: len(fake.submissions) == 2)
    notes.context.detach()
    with pytest.raises(RenderDetached):
        first.result()
    fake.go_on()
    kept = {image.position for image in first.images}
    missing = [picture for picture in pictures if picture.position not in kept]
    again = Notes(notes.state)
    images = Running(engine_of(fake.url), replace(REQUEST, pictures=missing), again).result()
    assert [image.seed for image in images] == [picture.seed for picture in missing]
    assert fake.runs.total() == len(fake.submissions) == 3


def test_state_of_another_picture_is_not_taken(fake: FakeComfyUI) -> None:
    notes = Notes()
    render(fake, REQUEST, notes)
    request = replace(REQUEST, pictures=[Picture(1, 8)])
    [image] = Running(engine_of(fake.url), request, Notes(notes.state)).result()
    assert (image.position, image.seed) == (1, 8)
    assert len(fake.submissions) == 2


def test_other_protocol_after_a_restart(fake: FakeComfyUI) -> None:
    engine = engine_of(fake.url)
    Running(engine).result()
    fake.new = False
    assert len(Running(engine, replace(REQUEST, seed=8)).result()) == 1


# --------------------------------------------------------------------------------- what comes back


@pytest.mark.parametrize("kind", ["half", "cut", "close_after"])
def test_half_a_picture_is_fetched_again(fake: FakeComfyUI, kind: str) -> None:
    fault = fake.fault("GET", "/view", kind)
    assert render(fake).width == 64
    assert fault.met.is_set()
    assert len(fake.submissions) == 1


def test_half_a_picture_for_ever(fake: FakeComfyUI) -> None:
    fake.fault("GET", "/view", "cut", times=99)
    assert "cannot be read" in str(failure_of(fake))


@pytest.mark.parametrize("path", ["/view", "/history/", "/object_info", "/system_stats"])
def test_answer_of_200_megabytes(path: str) -> None:
    with FakeComfyUI(new=False) as fake:
        fake.fault("GET", path, "huge", times=99)
        act = engine_of(fake.url).probe if path == "/system_stats" else lambda: render(fake)
        with pytest.raises(EngineError, match="more than can be taken"):
            act()


def black() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (64, 64)).save(made, "PNG")
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cannot be read"),
        (b"<html>", "cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "cannot be read"),
        (black(), "black picture"),
    ],
)
def test_picture_that_is_none(fake: FakeComfyUI, data: bytes, words: str) -> None:
    fake.paint = lambda graph, job_id: data
    assert words in str(failure_of(fake))


def test_damaged_picture_is_not_taken(fake: FakeComfyUI) -> None:
    """Its pixels can be decoded, and a check sum is another."""
    made = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 10, 10)).save(made, "PNG")
    data = bytearray(made.getvalue())
    data[-13] ^= 1  # the check sum of the pixels, before the last chunk of 12 bytes
    Image.open(io.BytesIO(data)).load()
    fake.paint = lambda graph, job_id: bytes(data)
    assert "cannot be read" in str(failure_of(fake))


@pytest.mark.parametrize(("form", "mime"), [("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_other_formats_whole_and_cut(fake: FakeComfyUI, form: str, mime: str) -> None:
    made = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(made, form)
    data = made.getvalue()
    fake.paint = lambda graph, job_id: data
    assert render(fake).mime_type == mime
    fake.paint = lambda graph, job_id: data[: len(data) // 2]
    assert "cannot be read" in str(failure_of(fake))


def test_connection_that_breaks_in_each_picture_fails_the_job(fake: FakeComfyUI) -> None:
    fake.fault("GET", "/view", "half", times=99)
    failure = failure_of(fake)
    assert "cannot be read" in str(failure)
    assert not isinstance(failure, EngineUnavailable), "it would be tried for ever"


def test_job_that_ends_between_two_questions() -> None:
    with FakeComfyUI(new=False) as fake:
        fake.hold(2)
        running = Running(engine_of(fake.url))
        assert running.notes.begun.wait(10)
        running.notes.context.detach()
        job_id = fake.submissions[0]
        late = fake.fault("GET", "/queue", "late")
        told: list[str] = []
        asking = threading.Thread(target=lambda: told.append(fate(fake.url, job_id)))
        asking.start()
        assert late.met.wait(10)
        fake.go_on()
        until(lambda: fake.status(job_id) == "completed")
        late.release.set()
        asking.join(10)
        assert told == ["completed"]


def test_picture_that_is_gone(fake: FakeComfyUI) -> None:
    fake.hold()
    running = Running(engine_of(fake.url))
    until(lambda: fake.submissions)
    fake.paint = lambda graph, job_id: b""
    fake.fault("GET", "/view", "late")
    fake.go_on()
    until(lambda: fake.files)
    fake.files.clear()
    fake._faults[-1].release.set()
    with pytest.raises(EngineError, match="lost the picture"):
        running.result()


def test_nonsense_from_something_else() -> None:
    with FakeComfyUI(new=True) as fake:
        fake.folders = {}
        fake.object_info = lambda name: {}  # type: ignore[method-assign]
        assert "not as a ComfyUI does" in str(failure_of(fake))
        with pytest.raises(EngineError):
            engine_of(fake.url).probe()


def test_out_of_memory_is_tried_once_more(fake: FakeComfyUI) -> None:
    oom = {"exception_type": "torch.OutOfMemoryError", "exception_message": "Allocation on device"}
    fake.failures = [oom, oom]
    notes = Notes()
    with pytest.raises(EngineError) as caught:
        render(fake, REQUEST, notes)
    assert (caught.value.code, caught.value.permanent) == ("out_of_memory", False)
    again = Notes(notes.state)
    with pytest.raises(EngineError) as caught:
        render(fake, REQUEST, again)
    assert (caught.value.code, caught.value.permanent) == ("out_of_memory", True)
    assert len(fake.submissions) == 2


def test_failed_job_is_sent_anew_by_the_next_attempt(fake: FakeComfyUI) -> None:
    fake.failures = [{"exception_type": "RuntimeError", "exception_message": "cuda hiccup"}]
    notes = Notes()
    with pytest.raises(EngineError, match="KSampler with RuntimeError") as caught:
        render(fake, REQUEST, notes)
    assert not caught.value.permanent
    assert render(fake, REQUEST, Notes(notes.state)).width == 64
    assert len(fake.submissions) == 2


def test_failure_that_happened_while_nobody_looked(fake: FakeComfyUI) -> None:
    fake.hold(2)
    fake.failures = [{"exception_type": "ValueError", "exception_message": "no"}]
    running = Running(engine_of(fake.url))
    assert running.notes.begun.wait(10)
    running.notes.context.detach()
    fake.go_on()
    until(lambda: fake.status(fake.submissions[0]) == "failed")
    with pytest.raises(EngineError, match="ValueError"):
        render(fake, REQUEST, Notes(running.notes.state))
    assert len(fake.submissions) == 1


def test_models_that_do_not_fit(fake: FakeComfyUI) -> None:
    message = "mat1 and mat2 shapes cannot be multiplied (77x768 and 2048x640)"
    fake.failures = [{"exception_type": "RuntimeError", "exception_message": message}]
    failure = failure_of(fake)
    assert (failure.permanent, failure.code) == (True, "models_mismatch")


def test_stopped_on_the_engine_itself(fake: FakeComfyUI) -> None:
    fake.hold(2)
    running = Running(engine_of(fake.url))
    assert running.notes.begun.wait(10)
    with fake.lock:
        fake._interrupt_running(None)
    with pytest.raises(EngineError, match="stopped on the engine") as caught:
        running.result()
    assert caught.value.permanent


def test_accepted_with_errors_is_a_failure_and_stopped(fake: FakeComfyUI) -> None:
    fake.partial_error = True
    fake.hold()
    failure = failure_of(fake)
    assert failure.permanent
    assert fake.queue_of() == ([], [])


def test_server_that_gives_its_own_ids_is_too_old(fake: FakeComfyUI) -> None:
    fake.own_ids = False
    fake.hold()
    failure = failure_of(fake)
    assert (failure.permanent, failure.code) == (True, "engine_too_old")
    assert fake.queue_of() == ([], [])


def test_all_failures_of_a_graph_are_told_and_no_prompt(fake: FakeComfyUI) -> None:
    workflow = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "old.ckpt"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 0], "text": ""}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 1, "height": 64}},
        "4": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 2]}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "x"}},
    }
    failure = failure_of(fake, workflow=workflow, inputs={"prompt": ["2.text"]})
    words = str(failure)
    assert failure.permanent
    assert failure.code == "model_missing"
    assert "The model old.ckpt is not on this engine." in words
    assert "The node CLIPTextEncode (2) cannot use its input clip." in words
    assert "The value of width is too small for the node EmptyLatentImage (3)." in words
    assert "The node EmptyLatentImage (3) misses its input batch_size." in words
    assert "secret garden" not in words


def test_missing_extension_is_told(fake: FakeComfyUI) -> None:
    workflow = {
        "1": {"class_type": "FaceFixer", "inputs": {"text": ""}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    failure = failure_of(fake, workflow=workflow, inputs={"prompt": ["1.text"]})
    assert "lacks the node FaceFixer" in str(failure)


# ----------------------------------------------------------------------------------------- the key


def test_key(fake: FakeComfyUI, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fake.key = "hunter2"
    failure = failure_of(fake)
    assert isinstance(failure, EngineUnavailable)
    assert "key" in str(failure)
    fake.step_s = 0.05
    notes = Notes()
    render(fake, REQUEST, notes, key="hunter2")
    assert notes.frames, "the socket has the key too"
    told = caplog.text + repr(engine_of(fake.url, key="hunter2").options)
    for secret in ("hunter2", "secret garden", str(fake.port)):
        assert secret not in caplog.text
    assert "hunter2" not in told


def test_failures_hold_no_address_and_no_prompt(fake: FakeComfyUI) -> None:
    secret = f"{PROMPT} at /home/ann/{fake.url}"
    fake.failures = [{"exception_type": "RuntimeError", "exception_message": secret}]
    words = str(failure_of(fake))
    fake.down()
    words += str(failure_of(fake))
    for told in ("secret garden", "127.0.0.1", str(fake.port), "/home/ann"):
        assert told not in words


# ------------------------------------------------------------------------------------ what is sent


def test_graph_of_a_checkpoint_with_loras(fake: FakeComfyUI) -> None:
    loras = [Lora("film-grain-xl", 0.8), Lora("my-sketch", -0.5, 0.25)]
    image = render(
        fake,
        replace(REQUEST, loras=loras, model_name="mine", guidance_scale=5.5),
        models={"mine": {"file": "xl/film_xl_1.0.safetensors", "vae": "ae.safetensors"}},
        loras={"my-sketch": {"file": "sketch.safetensors", "family": "sd1"}},
    )
    graph = fake.graphs[fake.submissions[0]]
    first, second = nodes(graph, "LoraLoader")
    assert (first["lora_name"], first["strength_model"], first["strength_clip"]) == (
        "xl/film-grain-xl.safetensors",
        0.8,
        0.8,
    )
    assert (second["lora_name"], second["strength_model"], second["strength_clip"]) == (
        "sketch.safetensors",
        -0.5,
        0.25,
    )
    [sampler] = nodes(graph, "KSampler")
    assert graph[sampler["model"][0]]["inputs"] == second
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (7, 4, 5.5)
    assert (sampler["sampler_name"], sampler["scheduler"]) == ("euler", "normal")
    assert [node["text"] for node in nodes(graph, "CLIPTextEncode")] == [PROMPT, "blurred"]
    assert graph[sampler["negative"][0]]["inputs"]["text"] == "blurred"
    assert nodes(graph, "SaveImage")[0]["filename_prefix"] == f"seidra/{fake.submissions[0]}"
    assert nodes(graph, "VAELoader") == [{"vae_name": "ae.safetensors"}]
    assert image.used["model"] == "xl/film_xl_1.0.safetensors"
    assert [lora["weight"] for lora in image.used["loras"]] == [0.8, -0.5]
    assert image.dropped == []


FLUX = {
    "diffusion_model": "flux1-dev.safetensors",
    "text_encoders": ["t5xxl_fp16.safetensors", "clip_l.safetensors"],
    "vae": "ae.safetensors",
    "family": "flux",
}
QWEN = {
    "diffusion_model": "qwen_image.safetensors",
    "text_encoders": "qwen_2.5_vl_7b.safetensors",
    "vae": "qwen_image_vae.safetensors",
    "family": "qwen",
}
ZIMAGE = {
    "diffusion_model": "z_image_turbo.safetensors",
    "text_encoders": ["qwen_3_4b.safetensors"],
    "vae": "ae.safetensors",
    "family": "zimage",
}
LORAS = [Lora("sketch", 0.7, 0.2)]


def separate(
    fake: FakeComfyUI, entry: Mapping[str, Any], **fields: Any
) -> tuple[dict[str, Any], RenderedImage]:
    """The graph and the picture of a model in separate files, at the defaults of a preview."""
    request = RenderRequest(PROMPT, 7, 64, 64, negative_prompt="blurred", model_name="mine")
    image = render(fake, replace(request, **fields), models={"mine": entry})
    return fake.graphs[fake.submissions[-1]], image


def test_graph_of_flux(fake: FakeComfyUI) -> None:
    graph, image = separate(fake, FLUX, loras=LORAS)
    [clip] = nodes(graph, "DualCLIPLoader")
    assert clip["type"] == "flux"
    assert len(nodes(graph, "LoraLoader")) == 1
    assert nodes(graph, "FluxGuidance")[0]["guidance"] == 3.5
    [sampler] = nodes(graph, "KSampler")
    assert (sampler["cfg"], sampler["steps"]) == (1.0, 20)
    assert (sampler["sampler_name"], sampler["scheduler"]) == ("euler", "simple")
    assert nodes(graph, "EmptySD3LatentImage")
    assert image.dropped == ["negative_prompt"]
    assert image.used["guidance_scale"] == 3.5
    chosen = {"guidance_scale": 2.0, "num_inference_steps": 30, "scheduler": "dpmpp_2m_beta"}
    graph, _ = separate(
        fake,
        FLUX,
        guidance_scale=2.0,
        steps=30,
        scheduler="dpmpp_2m_beta",
        parameters=chosen,
        negative_prompt="",
    )
    [sampler] = nodes(graph, "KSampler")
    assert nodes(graph, "FluxGuidance")[0]["guidance"] == 2.0
    assert (sampler["steps"], sampler["sampler_name"], sampler["scheduler"]) == (
        30,
        "dpmpp_2m",
        "beta",
    )


def test_graph_of_qwen_image(fake: FakeComfyUI) -> None:
    graph, image = separate(fake, QWEN, loras=LORAS)
    assert nodes(graph, "CLIPLoader")[0]["type"] == "qwen_image"
    assert nodes(graph, "ModelSamplingAuraFlow")[0]["shift"] == 3.1
    assert nodes(graph, "LoraLoaderModelOnly")[0]["strength_model"] == 0.7
    assert len(nodes(graph, "CLIPTextEncode")) == 2
    assert image.dropped == ["loras.clip_weight"]


def test_graph_of_z_image(fake: FakeComfyUI) -> None:
    graph, image = separate(fake, ZIMAGE, parameters={"guidance_scale": 7.5})
    assert nodes(graph, "CLIPLoader")[0]["type"] == "lumina2"
    assert nodes(graph, "ModelSamplingAuraFlow")[0]["shift"] == 3.0
    [sampler] = nodes(graph, "KSampler")
    assert (sampler["cfg"], sampler["steps"]) == (1.0, 9)
    assert image.dropped == ["negative_prompt", "guidance_scale"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**FLUX, "family": "fluxx"}, "is one of"),
        ({**FLUX, "text_encoders": ["clip_l.safetensors"]}, "has 1 text_encoders; it takes 2"),
        ({**FLUX, "vae": ""}, "a vae and a family"),
        ({**FLUX, "file": "x"}, "not both"),
        ({}, "has a file"),
    ],
)
def test_map_of_models_that_cannot_be_used(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(StartError, match=words):
        QuickEngine("studio", Options(url="http://127.0.0.1", models={"mine": entry}))


@pytest.mark.parametrize(
    ("quality", "steps"), [("draft", 10), ("standard", 20), ("high", 30), ("other", 20)]
)
def test_quality_is_a_factor_on_steps(quality: str, steps: int) -> None:
    with FakeComfyUI() as fake:
        image = render(fake, replace(REQUEST, steps=20, quality=quality))
    assert image.used["steps"] == steps


def test_sizes_are_rounded_and_told(fake: FakeComfyUI) -> None:
    image = render(fake, replace(REQUEST, width=130, height=63))
    assert (image.width, image.height) == (128, 64)
    assert (image.used["width"], image.used["height"]) == (128, 64)


def test_largest_seed(fake: FakeComfyUI) -> None:
    assert render(fake, replace(REQUEST, seed=2**63 - 1)).seed == 2**63 - 1
    [sampler] = nodes(fake.graphs[fake.submissions[0]], "KSampler")
    assert sampler["seed"] == 2**63 - 1


def test_every_name_of_ours_is_one_of_the_servers() -> None:
    with FakeComfyUI() as fake:
        schedulers = engine_of(fake.url).probe().schedulers
    table = {
        "ddim", "ddpm", "lms", "euler", "euler_a", "heun", "dpm2", "dpm2_a", "dpmpp_2m",
        "dpmpp_2m_sde", "dpmpp_sde", "dpmpp_2s_a", "dpmpp_3m_sde", "unipc", "deis", "lcm",
    }  # fmt: skip
    assert set(schedulers) == table | {
        f"{name}_{suffix}" for name in table for suffix in samplers.SUFFIXES
    }


@pytest.mark.parametrize(
    ("fields", "sampling"),
    [
        ({"scheduler": "dpmpp_2m_karras"}, ("dpmpp_2m", "karras")),
        ({"scheduler": "res_multistep"}, ("res_multistep", "normal")),
        ({"parameters": {"sampler": "er_sde", "schedule": "kl_optimal"}}, ("er_sde", "kl_optimal")),
        ({"parameters": {"sampler": "er_sde", "schedule": "nope"}}, ("euler", "normal")),
        ({"parameters": {"sampler": "nope"}}, ("euler", "normal")),
    ],
)
def test_samplers(fields: dict[str, Any], sampling: tuple[str, str]) -> None:
    with FakeComfyUI() as fake:
        image = render(fake, replace(REQUEST, **fields))
    assert (image.used["sampler"], image.used["schedule"]) == sampling


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"scheduler": "pndm"}, "sampler_missing", "The sampler pndm is not on this engine."),
        ({"scheduler": "euler_aa"}, "sampler_missing", "euler_a"),
        ({"model_name": "sd51"}, "model_missing", "Like it: sd15.safetensors."),
        ({"model_name": "film_xl_1.0"}, "model_ambiguous", "xl/film_xl_1.0.safetensors, film_xl"),
        ({"model_name": "flux1-dev"}, "model_missing", "without its text encoders"),
        ({"loras": [Lora("sketchy")]}, "lora_missing", "The LoRA sketchy is not on this engine."),
    ],
)
def test_what_is_not_there_is_named_before_sending(
    fields: dict[str, Any], code: str, words: str
) -> None:
    with FakeComfyUI() as fake:
        failure = failure_of(fake, replace(REQUEST, **fields))
        assert fake.submissions == []
    assert (failure.code, failure.permanent) == (code, True)
    assert words in str(failure)


def test_model_that_comes_later_is_found(fake: FakeComfyUI) -> None:
    engine = engine_of(fake.url)
    Running(engine).result()
    request = replace(REQUEST, model_name="fresh")
    with pytest.raises(EngineError):
        Running(engine, request).result()
    fake.folders["checkpoints"].append("fresh.safetensors")
    [image] = Running(engine, request).result()
    assert image.used["model"] == "fresh.safetensors"


def test_file_of_the_map_is_spelled_as_the_server_does(fake: FakeComfyUI) -> None:
    fake.folders["checkpoints"].append("sub\\windows.safetensors")
    request = replace(REQUEST, model_name="mine")
    image = render(fake, request, models={"mine": {"file": "sub/windows"}})
    assert image.used["model"] == "sub\\windows.safetensors"


def test_default_model(fake: FakeComfyUI) -> None:
    nobody_chose = replace(REQUEST, model_name="sdxl-base")
    assert render(fake, nobody_chose).used["model"] == "sd15.safetensors"
    other = render(fake, nobody_chose, default_model="xl/film_xl_1.0.safetensors")
    assert other.used["model"] == "xl/film_xl_1.0.safetensors"
    chosen = replace(nobody_chose, parameters={"model_name": "sdxl-base"})
    assert failure_of(fake, chosen).code == "model_missing"


def test_names_find_files() -> None:
    files = ["xl\\Film.safetensors", "a/film.ckpt", "base-v1.5.safetensors"]
    assert matches("xl/film.SAFETENSORS", files) == ["xl\\Film.safetensors"]
    assert matches("film", files) == files[:2]
    assert matches("BASE-v1.5", files) == files[2:]
    assert matches("base", files) == []


@pytest.mark.parametrize(
    ("file", "family"),
    [
        ("flux1-dev-fp8.safetensors", "flux"),
        ("sd_xl_base_1.0.safetensors", "sdxl"),
        ("v1-5-pruned-emaonly.safetensors", "sd1"),
        ("x/z_image_turbo_bf16.safetensors", "zimage"),
        ("dreamshaper.safetensors", None),
    ],
)
def test_family_by_the_files_name(file: str, family: str | None) -> None:
    assert guess_family(file) == family


# --------------------------------------------------------------------------------- one's own graph

WORKFLOW: dict[str, Any] = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 96, "height": 80, "batch_size": 1},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "old", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "bad", "clip": ["4", 1]}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["4", 0], "seed": 1, "steps": 5, "cfg": 4.0, "sampler_name": "heun",
            "scheduler": "karras", "positive": ["6", 0], "negative": ["7", 0],
            "latent_image": ["5", 0], "denoise": 1.0,
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "10": {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "mine"}},
}  # fmt: skip
FEW = {"prompt": ["6.text"], "seed": ["3.seed"]}
ALL = {
    **FEW,
    "negative_prompt": ["7.text"],
    "steps": ["3.steps"],
    "guidance": ["3.cfg"],
    "width": ["5.width"],
    "height": ["5.height"],
    "model": ["4.ckpt_name"],
    "sampler": ["3.sampler_name"],
    "schedule": ["3.scheduler"],
    "filename_prefix": ["9.filename_prefix"],
}


def test_workflow_with_all_inputs(fake: FakeComfyUI) -> None:
    request = replace(REQUEST, width=128, guidance_scale=6.5, scheduler="euler_a_karras")
    image = render(fake, request, workflow=WORKFLOW, inputs=ALL)
    graph = fake.graphs[fake.submissions[0]]
    [sampler] = nodes(graph, "KSampler")
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (7, 4, 6.5)
    assert (sampler["sampler_name"], sampler["scheduler"]) == ("euler_ancestral", "karras")
    assert [graph[node]["inputs"]["text"] for node in ("6", "7")] == [PROMPT, "blurred"]
    assert graph["9"]["inputs"]["filename_prefix"] == f"seidra/{fake.submissions[0]}"
    assert (image.width, image.height, image.seed) == (128, 64, 7)
    assert image.used["model"] == "sd15.safetensors"
    assert image.used["guidance_scale"] == 6.5
    assert image.dropped == []
    assert WORKFLOW["6"]["inputs"]["text"] == "old", "the operator's graph stays as it is"


def test_workflow_with_few_inputs_tells_what_it_drops(fake: FakeComfyUI) -> None:
    request = replace(
        REQUEST,
        loras=[Lora("sketch")],
        parameters={"num_inference_steps": 4, "model_name": "sd15"},
        model_name="never-heard-of",
    )
    image = render(fake, request, workflow=WORKFLOW, inputs=FEW)
    [sampler] = nodes(fake.graphs[fake.submissions[0]], "KSampler")
    assert (sampler["seed"], sampler["steps"]) == (7, 5)
    assert (image.width, image.height) == (96, 80)
    assert set(image.dropped) == {
        "loras", "negative_prompt", "steps", "model_name", "width", "height",
    }  # fmt: skip
    assert image.used == {"width": 96, "height": 80}
    capabilities = engine_of(fake.url, workflow=WORKFLOW, inputs=FEW).probe()
    assert not capabilities.models
    assert not capabilities.loras
    assert "seed" in capabilities.features
    assert not capabilities.features & {"negative_prompt", "steps", "loras", "sizes"}


def test_loras_go_between_a_workflows_loader_and_all_that_hangs_on_it(fake: FakeComfyUI) -> None:
    inputs = {**FEW, "loras": ["4.0", "4.1"]}
    request = replace(REQUEST, loras=[Lora("sketch", 0.5), Lora("film-grain-xl", 0.8, 0.3)])
    image = render(fake, request, workflow=WORKFLOW, inputs=inputs)
    graph = fake.graphs[fake.submissions[0]]
    [first, second] = [key for key in graph if graph[key]["class_type"] == "LoraLoader"]
    assert graph[first]["inputs"] == {
        "model": ["4", 0], "clip": ["4", 1], "lora_name": "sketch.safetensors",
        "strength_model": 0.5, "strength_clip": 0.5,
    }  # fmt: skip
    behind = graph[second]["inputs"]
    assert (behind["model"], behind["clip"]) == ([first, 0], [first, 1])
    assert (behind["strength_model"], behind["strength_clip"]) == (0.8, 0.3)
    assert graph["3"]["inputs"]["model"] == [second, 0]
    assert [graph[node]["inputs"]["clip"] for node in ("6", "7")] == [[second, 1], [second, 1]]
    assert graph["8"]["inputs"]["vae"] == ["4", 2]
    assert [lora["name"] for lora in image.used["loras"]] == ["sketch", "film-grain-xl"]
    assert not {"loras", "loras.clip_weight"} & set(image.dropped)
    capabilities = engine_of(fake.url, workflow=WORKFLOW, inputs=inputs).probe()
    assert {"loras", "lora_weights"} <= capabilities.features
    assert "sketch.safetensors" in capabilities.loras
    # One that is not there fails before anything is sent.
    gone = replace(REQUEST, loras=[Lora("gone")])
    assert failure_of(fake, gone, workflow=WORKFLOW, inputs=inputs).code == "lora_missing"
    assert len(fake.submissions) == 1


def test_loras_behind_a_model_alone(fake: FakeComfyUI) -> None:
    request = replace(REQUEST, loras=[Lora("sketch", 0.5, 0.25)])
    image = render(fake, request, workflow=WORKFLOW, inputs={**FEW, "loras": ["4.0"]})
    graph = fake.graphs[fake.submissions[0]]
    [node] = [key for key in graph if graph[key]["class_type"] == "LoraLoaderModelOnly"]
    assert graph["3"]["inputs"]["model"] == [node, 0]
    assert graph["6"]["inputs"]["clip"] == ["4", 1]
    assert "loras.clip_weight" in image.dropped


def test_a_workflow_without_loras_stays_as_it_is(fake: FakeComfyUI) -> None:
    render(fake, workflow=WORKFLOW, inputs={**FEW, "loras": ["4.0", "4.1"]})
    assert set(fake.graphs[fake.submissions[0]]) == set(WORKFLOW)


PICTURES: dict[str, Any] = {
    **WORKFLOW,
    "5": {"class_type": "VAEEncode", "inputs": {"pixels": ["11", 0], "vae": ["4", 2]}},
    "11": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
}
FACE = {**FEW, "face": ["11.image"]}


def a_png(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(out, "PNG")
    return out.getvalue()


def test_pictures_are_inputs_of_a_workflow(fake: FakeComfyUI) -> None:
    red = a_png("red")
    request = replace(REQUEST, images={"face": red}, pictures=[Picture(0, 1), Picture(1, 2)])
    own = engine_of(fake.url, workflow=PICTURES, inputs=FACE)
    images = Running(own, request).result()
    assert fake.uploads == [red], "once a render"
    [name] = [name for name in fake.folders["input"] if name.startswith("seidra/")]
    assert [graph["11"]["inputs"]["image"] for graph in fake.graphs.values()] == [name, name]
    assert [image.used["images"] for image in images] == [["face"], ["face"]]
    # Without one it is the graph's own.
    image = render(fake, workflow=PICTURES, inputs=FACE)
    assert fake.graphs[fake.submissions[-1]]["11"]["inputs"]["image"] == "example.png"
    assert "images" not in image.used
    assert own.probe().images == ["face"]


def test_a_picture_that_the_workflow_does_not_take_is_told(fake: FakeComfyUI) -> None:
    request = replace(REQUEST, images={"hand": a_png("red")})
    assert "images.hand" in render(fake, request, workflow=PICTURES, inputs=FACE).dropped
    assert "images.hand" in render(fake, request).dropped
    assert fake.uploads == []


@pytest.mark.parametrize("kind", ["close_before", "error_500", "half"])
def test_an_upload_that_fails_sends_nothing(fake: FakeComfyUI, kind: str) -> None:
    fake.fault("POST", "/upload/image", kind)
    request = replace(REQUEST, images={"face": a_png("red")})
    failure_of(fake, request, workflow=PICTURES, inputs=FACE)
    assert fake.submissions == []


def test_workflow_without_a_sampler_takes_any_persona(fake: FakeComfyUI) -> None:
    request = replace(REQUEST, scheduler="pndm", parameters={"scheduler": "pndm"})
    image = render(fake, request, workflow=WORKFLOW, inputs=FEW)
    assert "scheduler" in image.dropped


def test_workflow_without_a_seed_tells_none(fake: FakeComfyUI) -> None:
    image = render(fake, workflow=WORKFLOW, inputs={"prompt": ["6.text"]})
    assert image.seed is None
    assert "seed" in image.dropped


@pytest.mark.parametrize(
    ("workflow", "inputs", "words"),
    [
        (WORKFLOW, {"seed": ["3.seed"]}, "needs an input for the prompt"),
        (WORKFLOW, {"prompt": ["66.text"]}, r"has no input 66\.text"),
        (WORKFLOW, {"prompt": ["6.words"]}, r"has no input 6\.words"),
        (WORKFLOW, {**FEW, "sharpness": ["3.cfg"]}, "no input sharpness"),
        (WORKFLOW, {**FEW, "face": ["6.text"]}, "any name for the image of a LoadImage"),
        (WORKFLOW, {**FEW, "loras": ["4.model"]}, r"outputs, such as 4\.0; 4\.model is none"),
        (WORKFLOW, {**FEW, "loras": ["44.0"]}, r"44\.0 is none"),
        (WORKFLOW, {**FEW, "loras": ["4.0", "4.1", "4.2"]}, "one or two outputs"),
        ({"nodes": [], "links": []}, FEW, "API format"),
        ({"6": WORKFLOW["6"]}, {"prompt": ["6.text"]}, "needs a SaveImage"),
    ],
)
def test_workflow_that_cannot_be_used(
    workflow: dict[str, Any], inputs: dict[str, list[str]], words: str
) -> None:
    with pytest.raises(StartError, match=words):
        engine_of("http://127.0.0.1", workflow=workflow, inputs=inputs)


# ---------------------------------------------------------------------------------- what it can do


def test_capabilities(fake: FakeComfyUI) -> None:
    capabilities = engine_of(
        fake.url,
        models={"dream": {"file": "sd15.safetensors", "family": "sd1"}, "flux": FLUX},
        loras={"grain": {"file": "xl/film-grain-xl.safetensors", "family": "sdxl"}},
    ).probe()
    assert capabilities.version == ("0.30.0" if fake.new else "0.3.75")
    assert capabilities.models["dream"].family == "sd1"
    assert capabilities.models["flux"].file == "flux1-dev.safetensors"
    assert capabilities.models["sd15.safetensors"].family == "sd1"
    assert capabilities.loras["grain"].family == "sdxl"
    assert "sketch.safetensors" in capabilities.loras
    assert capabilities.sizes.multiple == 8
    assert {"loras", "lora_weights", "frames", "progress"} <= capabilities.features


def test_probe_ends_in_time(fake: FakeComfyUI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuickEngine, "patience", Patience(probe_s=0.3))
    fake.fault("GET", "/object_info", "hang_before", times=9)
    began = time.monotonic()
    with pytest.raises(EngineUnavailable, match="in time"):
        engine_of(fake.url).probe()
    assert time.monotonic() - began < 3
