"""Tasks in EvoLink's format: start, polling under a deadline, failures, and the fetching of finished files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_media import MediaServer
from agno_rt_media.client import MediaService
from agno_rt_media.wire import Task

from agno_rt import Agent, Limits, Runtime, ToolCall
from agno_rt.errors import ModelError
from agno_rt.events import ToolProgress
from agno_rt.testing import ScriptedModel, WireReply, WireServer, open_wire_server
from tests.servers.media_format import MP4, PNG, TASK, render_error, render_file, render_task

KEY = "sk-evo-0123456789abcdef"


def make_service(server: WireServer, kind: Any = "video", **changes: Any) -> MediaService:
    """Make a service of the test's server."""
    settings = {"base_url": server.url, "api_key": KEY, "model": "m", "poll": 0.01, "service": "evolink", **changes}
    return MediaService(kind, MediaServer(**settings))


def find_file(folder: Path) -> Path:
    """Return the only file of a folder."""
    [path] = folder.iterdir()
    return path


async def ignore(task: Task) -> None:
    """Take no notice of the progress."""
    await trio.lowlevel.checkpoint()


async def test_a_video_is_made_by_an_agent(tmp_path: Path) -> None:
    """The task is started once and asked for until it is completed; the file's path is told, and progress reported."""
    settings: dict[str, Any] = {"service": "evolink", "api_key": KEY, "poll": 0.01, "folder": str(tmp_path)}
    step = ToolCall("1", "make_video", json.dumps({"prompt": "A cat.", "images": ["https://example.com/cat.png"]}))
    async with open_wire_server() as server:
        server.play(
            render_task("pending"),
            render_task("processing", 30),
            render_task("completed", 100, results=[f"{server.url}/cat.mp4"]),
            render_file(MP4),
        )
        settings |= {"base_url": server.url, "video": {"size": "16:9", "quality": "720p", "duration": 5}}
        with ScriptedModel([step, "Done."]) as model:
            async with (
                Runtime(settings={"media": settings}) as rt,
                rt.stream(Agent(model, tools=["media:video:seedance-2.0"]), "Go.") as stream,
            ):
                progress = [event.data async for event in stream if isinstance(event, ToolProgress)]
        start, *polls, fetch = server.requests
    path = find_file(tmp_path)
    assert path.read_bytes() == MP4
    assert model.requests[-1].messages[-1].content == f"Saved as {path} (video/mp4, {len(MP4)} bytes)."
    assert progress == [{"task": TASK, "percent": 0}, {"task": TASK, "percent": 30}]
    assert (start.method, start.path) == ("POST", "/videos/generations")
    assert start.json() == {
        "model": "seedance-2.0",
        "prompt": "A cat.",
        "image_urls": ["https://example.com/cat.png"],
        "aspect_ratio": "16:9",
        "quality": "720p",
        "duration": 5,
    }
    assert [(poll.method, poll.path) for poll in polls] == [("GET", f"/tasks/{TASK}")] * 2
    assert polls[0].headers["authorization"] == f"Bearer {KEY}"
    assert fetch.path == "/cat.mp4"
    assert "authorization" not in fetch.headers


@pytest.mark.parametrize(("kind", "images"), [("image", []), ("edit", ["https://example.com/a.png"])])
async def test_images_are_tasks_too(kind: str, images: list[str]) -> None:
    """An image, and an image made from addresses, come by a task."""
    async with open_wire_server() as server:
        server.play(render_task("completed", results=[f"{server.url}/cat"]), render_file(PNG))
        service = make_service(server, kind, size="1:1")
        made = await service.run_task("A cat.", images, ignore)
        await service.aclose()
        start = server.requests[0]
    assert made.media_type == "image/png"
    assert start.path == "/images/generations"
    assert start.json() == {
        "model": "m",
        "prompt": "A cat.",
        "size": "1:1",
        **({"image_urls": images} if images else {}),
    }


@pytest.mark.parametrize(
    ("code", "retryable"),
    [("content_policy_violation", False), ("invalid_parameters", False), ("service_error", True)],
)
async def test_a_failed_task_tells_why(code: str, retryable: bool) -> None:
    """The error has the task, the service's code and words, and the answer to "may it succeed later?"."""
    failed = render_task("failed", error={"code": code, "message": f"It failed.\nThe key was {KEY}."})
    async with open_wire_server(render_task("pending"), failed) as server:
        service = make_service(server)
        with (
            trio.fail_after(60),
            pytest.raises(ModelError, match=rf"{TASK}: It failed\. The key was \*\*\*\. \({code}\)") as caught,
        ):
            await service.run_task("A cat.", (), ignore)
        await service.aclose()
    assert caught.value.retryable is retryable


async def test_polling_outlives_passing_failures() -> None:
    """A refused or broken question for a task is asked again: the task itself goes on at the service."""
    async with open_wire_server() as server:
        server.play(
            render_task("pending"),
            render_error(429, "rate_limit", "Slow down.", **{"retry-after-ms": "20"}),
            render_error(503, "", "Sorry."),
            WireReply((b'{"id"',), ending="reset"),
            render_task("completed", results=[f"{server.url}/cat.mp4"]),
            render_file(MP4),
        )
        service = make_service(server)
        assert (await service.run_task("A cat.", (), ignore)).data == MP4
        await service.aclose()
        assert [request.method for request in server.requests] == ["POST", "GET", "GET", "GET", "GET", "GET"]


@pytest.mark.parametrize("reply", [render_error(401, "", "Wrong key."), WireReply((b'{"id": "t", "status": "odd"}',))])
async def test_other_failures_end_the_polling(reply: WireReply) -> None:
    """A question that will never be answered is not repeated."""
    async with open_wire_server(render_task("pending"), reply) as server:
        service = make_service(server)
        with pytest.raises(ModelError, match=r"Wrong key|status is 'odd'"):
            await service.run_task("A cat.", (), ignore)
        await service.aclose()
        assert len(server.requests) == 2


async def test_a_task_without_end_ends_with_the_timeout_and_can_be_waited_for() -> None:
    """The error names the task; waiting for the task again starts no second one."""
    async with open_wire_server(render_task("pending"), render_task("processing", 40)) as server:
        service = make_service(server, timeout=2)
        with trio.fail_after(60), pytest.raises(ModelError, match=rf"{TASK} in time; 40 %") as caught:
            await service.run_task("A cat.", (), ignore)
        assert caught.value.retryable
        assert TASK in caught.value.hint
        server.play(render_task("completed", results=[f"{server.url}/cat.mp4"]), render_file(MP4))
        assert (await service.resume_task(TASK, ignore)).data == MP4
        with pytest.raises(LookupError):
            await service.resume_task("task-of-somebody-else", ignore)
        await service.aclose()
    methods = [request.method for request in server.requests]
    assert methods.count("POST") == 1
    # Waits grow from 10 ms to ten times as long: some thirty questions in two seconds.
    assert len(methods) < 40


async def test_the_run_gives_the_deadline_and_the_model_the_task() -> None:
    """The tool gives up before the run's `tool_timeout`, so that the model learns the task, and can ask for it."""
    settings = {"service": "evolink", "api_key": KEY, "poll": 0.01, "model": "m"}
    first = ToolCall("1", "make_video", '{"prompt": "A cat."}')
    unknown = ToolCall("2", "make_video", '{"prompt": "A cat.", "task": "task-of-somebody-else"}')
    again = ToolCall("3", "make_video", json.dumps({"prompt": "A cat.", "task": TASK}))
    async with open_wire_server(render_task("pending")) as server:

        def finish(request: Any) -> ToolCall:
            server.play(render_task("completed", results=[f"{server.url}/cat.mp4"]), render_file(MP4))
            return again

        with ScriptedModel([first, unknown, finish, "Done."]) as model:
            async with Runtime(settings={"media": {**settings, "base_url": server.url}}) as rt:
                limits = Limits(tool_timeout=4.0)
                await rt.run(Agent(model, tools=["media:video"], limits=limits), "Go.")
        posts = [request for request in server.requests if request.method == "POST"]
    told = [message.content for message in model.requests[-1].messages if message.role == "tool"]
    assert f"did not finish the task {TASK} in time" in str(told[0])
    assert "There is no task" in str(told[1])
    assert told[2][0].data == MP4  # type: ignore[union-attr]
    assert len(posts) == 1


async def test_cancelling_stops_the_polling() -> None:
    """After a cancellation no question follows, and no connection is in use."""
    async with open_wire_server(render_task("pending"), WireReply(ending="silent")) as server:
        service = make_service(server)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(service.run_task, "A cat.", (), ignore)
            await server.wait_stalled()
            nursery.cancel_scope.cancel()
        with trio.fail_after(60):
            await server.wait_idle()
        assert [limit.in_use for limit in service.statistics()] == [0]
        await service.aclose()
        assert len(server.requests) == 2


async def test_another_host_is_refused_unless_allowed() -> None:
    """A finished file at a host that nobody named is not fetched; the error says which host to allow."""
    async with open_wire_server() as server:
        elsewhere = server.url.replace("127.0.0.1", "localhost")
        done = render_task("completed", results=[f"{elsewhere}/cat.mp4"])
        server.play(done)
        service = make_service(server)
        with pytest.raises(ModelError, match="'localhost'") as caught:
            await service.run_task("A cat.", (), ignore)
        await service.aclose()
        assert 'hosts = ["localhost"]' in caught.value.hint
        assert not caught.value.retryable
        assert len(server.requests) == 1
        server.play(done, render_file(MP4))
        allowed = make_service(server, hosts=("localhost",))
        assert (await allowed.run_task("A cat.", (), ignore)).data == MP4
        await allowed.aclose()


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.mp4",
        "http://user@127.0.0.1/a.mp4",
        "http://127.0.0.1.example.com/a.mp4",
        "http://[::1/a.mp4",
        "//127.0.0.1/a.mp4",
        "",
    ],
)
async def test_odd_addresses_are_not_fetched(address: str) -> None:
    """An address that is not a plain one of the service's host is an error of the service."""
    async with open_wire_server(render_task("completed", results=[address])) as server:
        service = make_service(server)
        with pytest.raises(ModelError, match=r"not fetched|cannot be read"):
            await service.run_task("A cat.", (), ignore)
        await service.aclose()
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (WireReply((MP4, bytes(1000))), "more than 500 bytes"),
        (WireReply((b"<html>gone</html>",)), "text/plain"),
        (WireReply(status=302, headers={"location": "http://169.254.169.254/"}), "not followed"),
        (render_error(404, "", "Expired."), "Expired"),
    ],
    ids=["large", "page", "redirect", "gone"],
)
async def test_an_unusable_file_is_an_error(reply: WireReply, words: str) -> None:
    """A file that is too large, of another type, elsewhere or gone ends the call, without a second attempt."""
    async with open_wire_server() as server:
        server.play(render_task("completed", results=[f"{server.url}/cat.mp4"]), reply)
        service = make_service(server, max_bytes=500)
        with pytest.raises(ModelError, match=words):
            await service.run_task("A cat.", (), ignore)
        await service.aclose()
        await server.wait_idle()
        assert len(server.requests) == 2


async def test_a_file_is_fetched_again_after_a_cut() -> None:
    """A broken download is tried again; after three attempts the error names the task, which is not paid twice."""
    cut = WireReply((MP4[:9],), ending="cut")
    async with open_wire_server() as server:
        done = render_task("completed", results=[f"{server.url}/cat.mp4"])
        server.play(done, cut, render_file(MP4))
        service = make_service(server)
        assert (await service.run_task("A cat.", (), ignore)).data == MP4
        server.play(done, cut)
        with pytest.raises(ModelError, match=f"finished the task {TASK}") as caught:
            await service.run_task("A cat.", (), ignore)
        assert caught.value.retryable
        server.play(done, render_file(MP4))
        assert (await service.resume_task(TASK, ignore)).data == MP4
        await service.aclose()


@pytest.mark.parametrize("name", ["../../keys", "a b", "", 7, "t?x=1", "t/u"])
async def test_a_name_of_a_task_stays_within_the_path(name: Any) -> None:
    """A task's name that would lead to another path is an error of the service."""
    body = json.dumps({"id": name, "status": "pending"}).encode()
    async with open_wire_server(WireReply((body,))) as server:
        service = make_service(server)
        with pytest.raises(ModelError, match="id is"):
            await service.run_task("A cat.", (), ignore)
        await service.aclose()
        assert len(server.requests) == 1
