"""Images, edits, speech and transcriptions in OpenAI's format: requests, results, files and failures."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_media import MediaServer
from agno_rt_media.client import MediaService

from agno_rt import Agent, Limits, Runtime, ToolCall
from agno_rt.errors import ConfigError, LimitExceeded, ModelError
from agno_rt.messages import Content, Media
from agno_rt.testing import ScriptedModel, WireReply, WireServer, open_wire_server
from tests.servers.media_format import JPEG, MP3, PNG, render_error, render_file, render_image, render_transcription

KEY = "sk-0123456789abcdef"


def make_service(server: WireServer, kind: Any = "image", **changes: Any) -> MediaService:
    """Make a service of the test's server."""
    settings = {"base_url": server.url, "api_key": KEY, "model": "m", "poll": 0.01, **changes}
    return MediaService(kind, MediaServer(**settings))


async def call(server: WireServer, spec: str, arguments: dict[str, Any], **settings: Any) -> Content:
    """Let an agent call the tool of a spec once, and return the result for the model."""
    name = {"image": "make_image", "edit": "edit_image", "speech": "make_speech", "transcribe": "transcribe"}
    step = ToolCall("1", name[spec.split(":")[1]], json.dumps(arguments))
    table = {"base_url": server.url, "api_key": KEY, **settings}
    with ScriptedModel([step, "Done."]) as model:
        async with Runtime(settings={"media": table}) as rt:
            result = await rt.run(Agent(model, tools=[spec]), "Go.")
        assert result.content == "Done."
    return model.requests[-1].messages[-1].content


def read_form(body: bytes, content_type: str) -> list[tuple[str | None, str | None, bytes]]:
    """Return the name, the file's name and the value of each field of a form."""
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    parts = message.get_payload()
    assert isinstance(parts, list)
    found: list[tuple[str | None, str | None, bytes]] = []
    for part in parts:
        assert isinstance(part, Message)
        value = part.get_payload(decode=True)
        assert isinstance(value, bytes)
        name = part.get_param("name", header="content-disposition")
        found.append((str(name), part.get_filename(), value))
    return found


async def test_an_image_is_in_the_result() -> None:
    """An agent's call becomes a request, and the model gets the image itself."""
    async with open_wire_server(render_image()) as server:
        content = await call(
            server, "media:image", {"prompt": "A cat."}, size="1024x1024", extra={"background": "auto"}
        )
        [request] = server.requests
    assert content == (Media("image", "image/png", PNG, None, "the image"),)
    assert request.path == "/images/generations"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json() == {
        "model": "gpt-image-2.6-flare",
        "prompt": "A cat.",
        "size": "1024x1024",
        "background": "auto",
    }


async def test_a_folder_gets_the_image(tmp_path: Path) -> None:
    """With a folder, the result tells the path; the suffix comes from the bytes, not from the service's words."""
    async with open_wire_server(render_image(JPEG)) as server:
        told = await call(server, "media:image:other", {"prompt": "A cat."}, folder=str(tmp_path / "new" / "media"))
        assert server.requests[0].json()["model"] == "other"
    [path] = (tmp_path / "new" / "media").iterdir()
    assert path.suffix == ".jpg"
    assert path.read_bytes() == JPEG
    assert told == f"Saved as {path} (image/jpeg, {len(JPEG)} bytes)."


async def test_an_unwritable_folder_is_told_to_the_model(tmp_path: Path) -> None:
    """The image was made and paid for, so the model has to know why there is no file."""
    (tmp_path / "media").write_text("a file in the place of the folder")
    async with open_wire_server(render_image()) as server:
        told = await call(server, "media:image", {"prompt": "A cat."}, folder=str(tmp_path / "media"))
    assert "cannot be written" in str(told)


async def test_show_gives_the_path_and_the_image(tmp_path: Path) -> None:
    """A model can see the image that was written to a file."""
    async with open_wire_server(render_image()) as server:
        content = await call(server, "media:image", {"prompt": "A cat."}, folder=str(tmp_path), show=True)
    assert [type(part) for part in content] == [str, Media]


@pytest.mark.parametrize("names", [["a.png"], ["a.png", "b.jpg"]])
async def test_an_edit_sends_files_of_the_folder(tmp_path: Path, names: Sequence[str]) -> None:
    """The files that the model names go into the form, also under the path as told."""
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.jpg").write_bytes(JPEG)
    async with open_wire_server(render_image()) as server:
        images = [str(tmp_path / names[0]), *names[1:]]
        table = {"folder": str(tmp_path), "extra": {"n": 1, "stream": False}}
        told = await call(server, "media:edit", {"prompt": "Füge Hüte hinzu.", "images": images}, **table)
        [request] = server.requests
    assert request.path == "/images/edits"
    fields = read_form(request.body, request.headers["content-type"])
    assert fields[:4] == [
        ("model", None, b"gpt-image-2.6-flare"),
        ("prompt", None, "Füge Hüte hinzu.".encode()),
        ("n", None, b"1"),
        ("stream", None, b"false"),
    ]
    field = "image" if len(names) == 1 else "image[]"
    assert fields[4:] == [(field, name, (tmp_path / name).read_bytes()) for name in names]
    assert str(told).startswith("Saved as ")


async def test_speech_becomes_sound() -> None:
    """The text, the voice and the way to speak are sent, and the body of the answer is the sound."""
    async with open_wire_server(render_file(MP3, "audio/mpeg")) as server:
        table = {"voice": "cedar", "instructions": "Whisper."}
        content = await call(server, "media:speech", {"text": "Hello."}, speech=table)
        [request] = server.requests
    assert content == (Media("audio", "audio/mpeg", MP3, None, "the speech"),)
    assert request.path == "/audio/speech"
    assert request.json() == {
        "model": "gpt-4o-mini-tts",
        "input": "Hello.",
        "voice": "cedar",
        "instructions": "Whisper.",
        "response_format": "mp3",
    }


async def test_a_sound_file_becomes_words(tmp_path: Path) -> None:
    """A sound file of the folder is sent, and its words are the result."""
    (tmp_path / "call.mp3").write_bytes(MP3)
    async with open_wire_server(render_transcription("Good morning.")) as server:
        told = await call(server, "media:transcribe", {"file": "call.mp3"}, folder=str(tmp_path))
        [request] = server.requests
    assert told == "Good morning."
    assert request.path == "/audio/transcriptions"
    assert read_form(request.body, request.headers["content-type"]) == [
        ("model", None, b"gpt-transcribe"),
        ("response_format", None, b"json"),
        ("file", "call.mp3", MP3),
    ]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "link.png", "sub", ".hidden.png", "none.png", "a\\b"])
async def test_no_file_outside_of_the_folder_is_sent(tmp_path: Path, name: str) -> None:
    """A name that leads out of the folder, a link and a folder are refused, and the service is not asked."""
    folder = tmp_path / "media"
    (folder / "sub").mkdir(parents=True)
    for path in (tmp_path / "secret.png", folder / ".hidden.png"):
        path.write_bytes(PNG)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    async with open_wire_server(render_image()) as server:
        told = await call(server, "media:edit", {"prompt": "Show it.", "images": [name]}, folder=str(folder))
        assert server.requests == []
    assert repr(name) in str(told) or name in str(told)
    assert not str(told).startswith("Saved")


async def test_files_of_another_type_and_size_are_not_sent(tmp_path: Path) -> None:
    """A text under the name of an image, and a file above the bound, are refused before the request."""
    (tmp_path / "text.png").write_text("words")
    (tmp_path / "large.png").write_bytes(PNG + bytes(200))
    async with open_wire_server(render_image()) as server:
        for name, words in (("text.png", "text/plain"), ("large.png", "at most 200")):
            table = {"folder": str(tmp_path), "max_bytes": 200}
            told = await call(server, "media:edit", {"prompt": "Edit.", "images": [name]}, **table)
            assert words in str(told)
        assert server.requests == []


@pytest.mark.parametrize(
    ("reply", "status", "retryable", "words"),
    [
        (render_error(401, "invalid_api_key", f"Incorrect API key: {KEY}"), 401, False, "invalid_api_key"),
        (render_error(429, "rate_limit_exceeded", "Slow down.", **{"retry-after": "7"}), 429, True, "Slow down."),
        (render_error(429, "insufficient_quota", "No credit."), 429, False, "No credit."),
        (render_error(500, "", "Sorry."), 500, True, "Sorry."),
        (render_error(400, "moderation_blocked", "Rejected by the safety system."), 400, False, "moderation_blocked"),
    ],
    ids=["key", "rate", "credit", "fault", "moderation"],
)
async def test_refusals_tell_what_happened(reply: WireReply, status: int, retryable: bool, words: str) -> None:
    """Each refusal has the status, the request's id, the answer to "may it succeed later?", and no key."""
    for kind in ("image", "speech"):
        async with open_wire_server(reply) as server:
            service = make_service(server, kind)
            with pytest.raises(ModelError) as caught:
                await (service.make_image("A cat.") if kind == "image" else service.make_speech("Hello."))
            assert [limit.in_use for limit in service.statistics()] == [0]
            await service.aclose()
        error = caught.value
        assert (error.status, error.retryable, error.request_id) == (status, retryable, "req_0123456789")
        assert words in error.message
        assert KEY not in f"{error} {error.hint}"
        if reply.headers.get("retry-after"):
            assert error.retry_after == 7.0


async def test_a_refusal_reaches_the_model() -> None:
    """The model reads the service's words, and the run goes on."""
    async with open_wire_server(render_error(400, "moderation_blocked", "Rejected by the safety system.")) as server:
        told = await call(server, "media:image", {"prompt": "A cat."})
    assert "Rejected by the safety system. (moderation_blocked)" in str(told)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"created": 1, "data": []}', "moderation"),
        (b'{"data": [{"b64_json": ""}]}', "moderation"),
        (b'{"data": [{"b64_json": "%%%"}]}', "base64"),
        (json.dumps({"data": [{"b64_json": base64.b64encode(b"<html>busy</html>").decode()}]}).encode(), "text/plain"),
        (json.dumps({"data": [{"b64_json": base64.b64encode(MP3).decode()}]}).encode(), "audio/mpeg"),
        (json.dumps({"data": [{"b64_json": base64.b64encode(PNG * 9).decode()}]}).encode(), "too large"),
        (b'{"data": [', "an image"),
        (b"<html>busy</html>", "an image"),
        (b'{"error": {"message": "later", "code": "server_error"}}', "later"),
    ],
    ids=["empty", "blank", "broken", "page", "sound", "large", "cut", "html", "error"],
)
async def test_success_without_an_image_is_an_error(body: bytes, words: str) -> None:
    """An answer with status 200 and without a usable image is a failure of the service."""
    async with open_wire_server(WireReply((body,))) as server:
        service = make_service(server, max_bytes=300)
        with pytest.raises(ModelError, match=words):
            await service.make_image("A cat.")
        await service.aclose()


@pytest.mark.parametrize("told", [True, False])
async def test_sound_above_the_bound_is_not_read(told: bool) -> None:
    """A body that is too large ends the call: at once if its length is told, else when the bound is passed."""
    headers = {"content-length": "1000"} if told else {}
    pieces = () if told else (MP3, bytes(1000))
    # With a length, no chunks: the server would send nothing more, and the client must not wait for it.
    reply = WireReply(pieces, content_type="audio/mpeg", headers=headers, ending="stall")
    async with open_wire_server(reply) as server:
        service = make_service(server, "speech", max_bytes=500)
        with trio.fail_after(60), pytest.raises(ModelError, match=r"1,000 bytes|more than 500 bytes"):
            await service.make_speech("Hello.")
        await server.wait_idle()
        await service.aclose()


async def test_a_page_in_place_of_sound_is_an_error() -> None:
    """The content type of the answer counts for nothing; the bytes do."""
    async with open_wire_server(render_file(b"<html>busy</html>", "audio/mpeg")) as server:
        service = make_service(server, "speech")
        with pytest.raises(ModelError, match="text/plain"):
            await service.make_speech("Hello.")
        await service.aclose()


async def test_a_silent_service_ends_with_the_timeout() -> None:
    """A call ends after its own timeout, may be tried again, and leaves no connection."""
    async with open_wire_server(WireReply(ending="silent")) as server:
        service = make_service(server, timeout=0.1)
        with trio.fail_after(60), pytest.raises(ModelError, match=r"did not finish within 0.1 s") as caught:
            await service.make_image("A cat.")
        assert caught.value.retryable
        await server.wait_idle()
        assert [limit.in_use for limit in service.statistics()] == [0]
        await service.aclose()


async def test_cancelling_a_call_closes_its_connection() -> None:
    """The service sees that nobody waits for the image any more."""
    async with open_wire_server(WireReply(ending="silent")) as server:
        service = make_service(server)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(service.make_image, "A cat.")
            await server.wait_stalled()
            nursery.cancel_scope.cancel()
        with trio.fail_after(60):
            await server.wait_idle()
        await service.aclose()


async def test_an_address_of_an_image_is_fetched_without_the_key() -> None:
    """Servers with OpenAI's format may answer with an address; the key stays with the service."""
    async with open_wire_server() as server:
        reply = WireReply((json.dumps({"data": [{"url": f"{server.url}/a.png?sig=0123456789"}]}).encode(),))
        server.play(reply, render_file(PNG))
        service = make_service(server, headers={"x-own": "secret-header"})
        made = await service.make_image("A cat.")
        asked, fetched = server.requests
        server.play(reply, render_error(403, "", "Wrong signature 0123456789."))
        with pytest.raises(ModelError) as caught:
            await service.make_image("A cat.")
        await service.aclose()
    assert "0123456789" not in f"{caught.value} {caught.value.hint}"
    assert made.data == PNG
    assert asked.headers["x-own"] == "secret-header"
    assert fetched.path == "/a.png?sig=0123456789"
    assert not {"authorization", "x-own"} & fetched.headers.keys()


async def test_a_missing_key_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the variable and the table; a check of the tools tells it before the first call."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("AGNO_RT_KEYS", str(tmp_path / "keys.toml"))
    service = MediaService("image", MediaServer(model="m"))
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        await service.make_image("A cat.")
    assert "[plugins.media]" in caught.value.hint
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        service.check_ready()


TURN = 2
"""The tokens that the scripted model reports for a turn."""


async def run_once(server: WireServer, spec: str, call: ToolCall, limits: Limits, **settings: Any) -> Any:
    """Run an agent that makes one call and then answers; return the result, or the error with the result so far."""
    table = {"base_url": server.url, "api_key": KEY, **settings}
    async with Runtime(settings={"media": table}) as rt:
        agent = Agent(ScriptedModel([call, "Done."]), tools=[spec], limits=limits)
        try:
            return await rt.run(agent, "Go.")
        except LimitExceeded as exc:
            return exc


@pytest.mark.parametrize("most", [None, 200])
async def test_tokens_of_an_image_count_towards_the_budget(most: int | None) -> None:
    """The service reports 281 tokens: they are in the run's usage, and end a run with fewer."""
    async with open_wire_server(render_image()) as server:
        call = ToolCall("1", "make_image", '{"prompt": "A cat."}')
        done = await run_once(server, "media:image", call, Limits(tokens=most))
    if most is None:
        assert done.usage.total_tokens == 281 + 2 * TURN
    else:
        assert isinstance(done, LimitExceeded)
        assert done.result is not None
        assert done.result.usage.total_tokens == 281 + TURN


@pytest.mark.parametrize(
    ("usage", "tokens"), [({"type": "tokens", "input_tokens": 14, "output_tokens": 45}, 59), ({"type": "duration"}, 0)]
)
async def test_tokens_of_a_transcription_count(usage: dict[str, Any], tokens: int, tmp_path: Path) -> None:
    """A transcription that is counted in seconds has no tokens."""
    (tmp_path / "a.mp3").write_bytes(MP3)
    answer = json.dumps({"text": "Hello.", "usage": {**usage, "seconds": 3}}).encode()
    async with open_wire_server(WireReply((answer,))) as server:
        call = ToolCall("1", "transcribe", '{"file": "a.mp3"}')
        done = await run_once(server, "media:transcribe", call, Limits(), folder=str(tmp_path))
    assert done.usage.total_tokens == tokens + 2 * TURN


async def test_tokens_of_an_unusable_answer_count() -> None:
    """An answer without an image was paid for as well."""
    body = {"data": [], "usage": {"input_tokens": 5, "output_tokens": 7}}
    async with open_wire_server(WireReply((json.dumps(body).encode(),))) as server:
        call = ToolCall("1", "make_image", '{"prompt": "A cat."}')
        done = await run_once(server, "media:image", call, Limits())
    assert done.usage.total_tokens == 12 + 2 * TURN
