"""The client against a scripted server: raw bytes over loopback, whole, cut off, late, or missing."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import attrs
import pytest
import trio
from agno_rt_openai import OpenAIModel, Server
from agno_rt_openai.facts import Api
from agno_rt_openai.profile import choose

from agno_rt import Agent, Message, ModelRequest, ModelSettings, Runtime, ToolCall, media, tool
from agno_rt.errors import ConfigError, ModelError, Overloaded, UsageError
from agno_rt.events import Delta, ReasoningDelta, RunEnded, TextDelta, ToolEnded, ToolStarted
from agno_rt.models import ModelProfile, Price
from agno_rt.testing import WireReply, open_wire_server

KEY = "sk-0123456789abcdef"
ASKED = ModelRequest((Message("user", "Hi."),))
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
"""One red pixel."""
DONE = b"data: [DONE]\n\n"


@attrs.frozen
class Reply:
    """Raw bytes, and the fate of the connection afterwards: `stay` keeps the connection for the next request."""

    data: bytes = b""
    then: Literal["stay", "close", "reset", "stall"] = "stay"


@attrs.define
class Asked:
    """A received request."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class ScriptedServer:
    """A server that answers each request with the next reply of `script`, and repeats the last reply."""

    def __init__(self) -> None:
        self.script: list[Reply] = []
        self.asked: list[Asked] = []
        self.connections = 0
        self.hung_up = trio.Event()
        self.asked_once = trio.Event()
        self.url = ""

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        """Listen on a free port until cancelled."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1"
        task_status.started()
        await trio.serve_listeners(self._talk, [listener])

    async def _talk(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with stream:
            received = b""
            while True:
                try:
                    received = await self._request(stream, received)
                    if not await self._reply(stream):
                        return
                except (trio.BrokenResourceError, EOFError):
                    self.hung_up.set()
                    return

    async def _request(self, stream: trio.SocketStream, received: bytes) -> bytes:
        while b"\r\n\r\n" not in received:
            received += await _read_some(stream)
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        while len(rest) < length:
            rest += await _read_some(stream)
        self.asked.append(Asked(first.split(" ")[1], headers, json.loads(rest[:length])))
        return rest[length:]

    async def _reply(self, stream: trio.SocketStream) -> bool:
        reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        await stream.send_all(reply.data)
        self.asked_once.set()
        if reply.then == "stall":
            await _read_some(stream)
        if reply.then == "reset":
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return reply.then == "stay"


async def _read_some(stream: trio.SocketStream) -> bytes:
    data = await stream.receive_some()
    if not data:
        raise EOFError
    return data


def http(
    body: bytes, status: str = "200 OK", kind: str = "application/json", *, more: str = "", short: int = 0
) -> bytes:
    """Make an answer; `short` is the number of promised but missing bytes."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body) + short}\r\n{more}\r\n"
    return head.encode() + body


def sse(*events: bytes, end: bool = True) -> bytes:
    """Make a chunked event stream; without `end`, the end is missing."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events)
    return head + body + (b"0\r\n\r\n" if end else b"")


def text(content: str) -> bytes:
    """Make a completion."""
    message = {"role": "assistant", "content": content}
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}).encode()


def chunk(content: str | None, finish: str | None = None) -> bytes:
    """Make a chunk of a streamed completion."""
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


@pytest.fixture
async def server(nursery: trio.Nursery) -> ScriptedServer:
    """A listening scripted server."""
    scripted = ScriptedServer()
    await nursery.start(scripted.serve)
    return scripted


Make = Callable[..., OpenAIModel]


@pytest.fixture
async def make(server: ScriptedServer) -> AsyncIterator[Make]:
    """A factory of models of the scripted server; the models are closed after the test."""
    models: list[OpenAIModel] = []

    def make(**settings: Any) -> OpenAIModel:
        models.append(OpenAIModel("m", Server(**{"base_url": server.url, "read_timeout": 30.0, **settings})))
        return models[-1]

    yield make
    for model in models:
        await model.aclose()


async def discard(delta: Delta) -> None:
    """Drop the delta."""


async def fail(model: OpenAIModel, *, stream: bool = False) -> ModelError:
    """Return the error of a request that must fail."""
    with trio.fail_after(60), pytest.raises(ModelError) as caught:
        await model.respond(ASKED, discard if stream else None)
    assert caught.value.provider == model.server.host
    return caught.value


class TestAnswers:
    """Valid answers."""

    async def test_asks_and_reads_the_answer(self, server: ScriptedServer, make: Make) -> None:
        """The request goes to base_url with its headers; the answer is the response. Without a key, no key header."""
        server.script = [Reply(http(text("Hello.")))]
        response = await make(headers={"X-Team": "blue"}).respond(ASKED)
        assert (response.content, response.usage.total_tokens) == ("Hello.", 5)
        [asked] = server.asked
        assert asked.path == "/v1/chat/completions"
        assert asked.body == {"model": "m", "messages": [{"role": "user", "content": "Hi."}]}
        assert asked.headers["x-team"] == "blue"
        assert "authorization" not in asked.headers

    async def test_streams(self, server: ScriptedServer, make: Make) -> None:
        """With `emit`, deltas come as they arrive, and their text is the response's."""
        server.script = [Reply(sse(chunk("Hé"), chunk("llo"), chunk(None, "stop"), DONE))]
        got: list[Delta] = []

        async def emit(delta: Delta) -> None:
            got.append(delta)

        response = await make().respond(ASKED, emit)
        assert got == [TextDelta("Hé"), TextDelta("llo")]
        assert response.content == "Héllo"
        assert server.asked[0].body["stream"] is True

    async def test_uses_its_connection_again(self, server: ScriptedServer, make: Make) -> None:
        """After a finished answer, streamed or not, the connection serves the next request."""
        whole, stream = Reply(http(text("a"))), Reply(sse(chunk("a", "stop"), DONE))
        server.script = [whole, stream, stream, whole]
        model = make()
        for emit in (None, discard, discard, None):
            await model.respond(ASKED, emit)
        assert server.connections == 1

    async def test_takes_a_whole_answer_for_a_stream(self, server: ScriptedServer, make: Make) -> None:
        """Servers that never stream and servers that always stream both get read."""
        server.script = [Reply(http(text("a"))), Reply(sse(chunk("b", "stop"), DONE))]
        model, got = make(), list[Delta]()

        async def emit(delta: Delta) -> None:
            got.append(delta)

        assert (await model.respond(ASKED, emit)).content == "a"
        assert got == [TextDelta("a")]
        assert (await model.respond(ASKED)).content == "b"

    async def test_a_finished_stream_may_end_anyhow(self, server: ScriptedServer, make: Make) -> None:
        """After the finish reason, neither [DONE] nor a clean end is needed."""
        finished = (chunk("a"), chunk(None, "stop"))
        server.script = [Reply(sse(*finished)), Reply(sse(*finished, end=False), "close")]
        model = make()
        assert (await model.respond(ASKED, discard)).content == "a"
        assert (await model.respond(ASKED, discard)).content == "a"

    async def test_sends_the_key(self, server: ScriptedServer, make: Make) -> None:
        """A key in the settings is sent, and never shown."""
        server.script = [Reply(http(text("a")))]
        model = make(api_key=f" {KEY}\n")
        await model.respond(ASKED)
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in f"{model!r} {model.server!r} {vars(model)!r}"

    async def test_opens_again_after_it_was_closed(self, server: ScriptedServer, make: Make) -> None:
        """Closing twice is fine, and a later request opens a new connection."""
        server.script = [Reply(http(text("a")))]
        model = make()
        for _ in range(2):
            await model.respond(ASKED)
            await model.aclose()
            await model.aclose()
        assert server.connections == 2


class TestMediaAndReasoning:
    """Media and reasoning over a real connection."""

    async def test_media_reach_the_server(self, server: ScriptedServer, make: Make) -> None:
        """Bytes and URLs arrive unchanged, in their order; a tool's image comes behind the result."""
        server.script = [Reply(http(text("Two dots.")))]
        parts = (
            "What is this?",
            media.image(PNG),
            media.image("https://host/cat.png"),
            media.file(b"7070", name="port.txt"),
        )
        conversation = (
            Message("user", parts),
            Message("assistant", "", (ToolCall("c1", "camera"),)),
            Message("tool", (media.image(PNG),), (), "c1", "camera"),
        )
        await make().respond(ModelRequest(conversation))
        [asked, _, result, shown] = server.asked[0].body["messages"]
        dot = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}}
        cat = {"type": "image_url", "image_url": {"url": "https://host/cat.png"}}
        port = {"type": "text", "text": "port.txt:\n\n7070"}
        assert asked["content"] == [{"type": "text", "text": "What is this?"}, dot, cat, port]
        assert (result["role"], shown["role"], shown["content"][1]) == ("tool", "user", dot)

    async def test_large_media_arrive_whole(self, server: ScriptedServer, make: Make) -> None:
        """Megabytes go through, byte by byte."""
        server.script = [Reply(http(text("Long.")))]
        pdf = b"%PDF-1.4\n" + bytes(range(256)) * 12_000
        await make().respond(ModelRequest((Message("user", (media.file(pdf, name="a.pdf"),)),)))
        [part] = server.asked[0].body["messages"][0]["content"]
        assert base64.b64decode(part["file"]["file_data"].partition(",")[2]) == pdf

    async def test_what_the_format_cannot_carry_is_not_sent(self, server: ScriptedServer, make: Make) -> None:
        """Media outside the format raise before anything is sent."""
        server.script = [Reply(http(text("a")))]
        flac = media.audio(b"fLaC\0\0\0\x22")
        with pytest.raises(UsageError, match="cannot be sent as audio/flac"):
            await make().respond(ModelRequest((Message("user", (flac,)),)))
        assert server.asked == []

    async def test_reasoning_comes_apart(self, server: ScriptedServer, make: Make) -> None:
        """Reasoning, in a field or in tags, streamed or not, is not part of the answer."""
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}}
        field = [{"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "so"}]
        tags = [{"content": "<th"}, {"content": "ink>h"}, {"content": "m</think>"}, {"content": "so"}]
        streams = [
            sse(*(thought(delta) for delta in deltas), thought({}, "stop", usage), DONE) for deltas in (field, tags)
        ]
        whole = [{"content": "so", "reasoning": "hm"}, {"content": "<think>hm</think>so"}]
        bodies = [json.dumps({"choices": [{"message": message}], "usage": usage}).encode() for message in whole]
        server.script = [*map(Reply, streams), *(Reply(http(body)) for body in bodies)]
        model = make()
        for emitting in (True, True, False, False):
            got: list[Delta] = []

            async def emit(delta: Delta, got: list[Delta] = got) -> None:
                got.append(delta)

            response = await model.respond(ASKED, emit if emitting else None)
            assert (response.reasoning, response.content, response.usage.reasoning_tokens) == ("hm", "so", 3)
            assert not emitting or got == [ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("so")]

    async def test_the_settings_say_how_a_model_thinks(self, server: ScriptedServer, make: Make) -> None:
        """Settings for tags opened by the prompt, for a field that returns reasoning, and for no tags."""
        server.script = [Reply(http(text("hm</think>so"))), Reply(http(text("<think>")))]
        opened = make(think_tags="opened", reasoning_field="reasoning")
        asked = ModelRequest((Message("user", "Hi."), Message("assistant", "Hi.", reasoning="Hm.")))
        response = await opened.respond(asked)
        assert (response.reasoning, response.content) == ("hm", "so")
        assert server.asked[0].body["messages"][1]["reasoning"] == "Hm."
        assert (await make(think_tags="off").respond(ASKED)).content == "<think>"


def thought(delta: dict[str, Any], finish: str | None = None, usage: Any = None) -> bytes:
    """Make a chunk with the delta."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], "usage": usage}).encode() + b"\n\n"


class TestFailures:
    """Invalid answers."""

    async def test_a_rate_limit(self, server: ScriptedServer, make: Make) -> None:
        """The error has the status, the server's words and the wait; the connection is used again."""
        body = b'{"error": {"message": "Slow down.", "type": "rate_limit_error"}}'
        server.script = [Reply(http(body, "429 Too Many Requests", more="retry-after: 7\r\n")), Reply(http(text("a")))]
        model = make()
        error = await fail(model)
        assert (error.status, error.retryable, error.retry_after) == (429, True, 7.0)
        assert error.message == "openai:m answered 429 Too Many Requests: Slow down."
        assert (await model.respond(ASKED)).content == "a"
        assert server.connections == 1

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("reply", "said", "retryable"),
        [
            (Reply(http(b"Oops", "500 Internal Server Error", "text/plain")), "answered 500", True),
            (Reply(http(b"{}", "404 Not Found")), "answered 404", False),
            (Reply(http(b"", "302 Found", more="location: /x\r\n")), "answered 302", False),
            (Reply(http(b"Oo", "503 Service Unavailable", short=9), "close"), "answered 503", True),
            (Reply(http(b"<html><title>Hi</title></html>", kind="text/html")), "with a web page", False),
            (Reply(http(b'{"choices": [')), "not with JSON", False),
            (Reply(http(b'{"object": "list"}')), "other than a chat completion", False),
            (Reply(http(b"nope", more="content-encoding: gzip\r\n")), "in the encoding 'gzip'", False),
            (Reply(http(text("a"), short=9), "close"), "broke the connection off", True),
            (Reply(b"HTTP/1.1 200 OK\r\ncontent-", "close"), "before it answered", True),
            (Reply(b"HTTP/1.1 200 OK\r\ncontent-", "reset"), "dropped the connection before it answered", True),
            (Reply(b"", "close"), "broke the connection off", True),
            (Reply(b"220 mail.example ESMTP\r\n", "close"), "does not speak HTTP", True),
        ],
    )
    async def test_a_bad_answer(
        self, server: ScriptedServer, make: Make, reply: Reply, said: str, retryable: bool, stream: bool
    ) -> None:
        """Each failure is named, and the next request works."""
        server.script = [reply, Reply(http(text("fine")))]
        model = make()
        error = await fail(model, stream=stream)
        assert said in error.message
        assert error.retryable is retryable
        assert (await model.respond(ASKED)).content == "fine"

    @pytest.mark.parametrize(
        ("reply", "said"),
        [
            (Reply(sse(chunk("a"))), "broke off its stream"),
            (Reply(sse(chunk("a"), end=False), "close"), "in the middle of its answer"),
            (Reply(sse(chunk("a"), end=False), "reset"), "dropped the connection in the middle"),
            (Reply(sse(chunk("a"), b"data: {oops\n\n", end=False), "stall"), "broken JSON in its stream"),
            (Reply(sse(b"data: " + b"x" * 5_000_000), "stall"), "more than 4194304 bytes"),
            (Reply(sse(chunk("a"), b'data: {"error": {"message": "Boom."}}\n\n')), "reported an error: Boom."),
            (Reply(sse()), "without any answer"),
        ],
    )
    async def test_a_bad_stream(self, server: ScriptedServer, make: Make, reply: Reply, said: str) -> None:
        """Each broken stream is named."""
        server.script = [reply, Reply(http(text("fine")))]
        model = make()
        assert said in (await fail(model, stream=True)).message
        assert (await model.respond(ASKED)).content == "fine"

    @pytest.mark.parametrize(
        ("data", "phase"),
        [(b"", "before it answered"), (sse(chunk("a"), end=False), "in the middle of its answer")],
    )
    async def test_a_server_that_stalls(self, server: ScriptedServer, make: Make, data: bytes, phase: str) -> None:
        """Silence ends at read_timeout; the connection is closed."""
        server.script = [Reply(data, "stall")]
        error = await fail(make(read_timeout=0.2), stream=True)
        assert error.message == f"openai:m stalled: nothing came for 0.2 s {phase}"
        assert error.retryable
        with trio.fail_after(60):
            await server.hung_up.wait()

    async def test_an_answer_beyond_all_bounds(self, server: ScriptedServer, make: Make) -> None:
        """An endless body is refused."""
        server.script = [Reply(http(b" " * (33 * 2**20)), "close")]
        assert "more than 33554432 bytes" in (await fail(make())).message

    async def test_nobody_listens(self, make: Make) -> None:
        """The error of a refused connection asks if the server runs, and has the address."""
        with trio.socket.socket() as unused:
            await unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
            error = await fail(make(base_url=url))
        assert "Connection refused" in error.message
        assert f"Is the server running at {url}/chat/completions?" in error.hint
        assert error.retryable

    async def test_https_where_there_is_none(self, server: ScriptedServer, make: Make) -> None:
        """A server without TLS is not worth a retry."""
        server.script = [Reply(b"", "close")]
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def answer(stream: trio.SocketStream) -> None:
            async with stream:
                await stream.receive_some()
                await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, answer, [listener])
            error = await fail(make(base_url=f"https://127.0.0.1:{listener.socket.getsockname()[1]}/v1"))
            nursery.cancel_scope.cancel()
        assert not error.retryable
        assert "certificate" in error.hint

    async def test_the_key_is_in_no_error_and_no_log(
        self, server: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A server that quotes the request does not reveal the key, and neither do the libraries' logs."""
        caplog.set_level(logging.DEBUG)
        server.script = [Reply(http(f'{{"error": {{"message": "Bad key {KEY}"}}}}'.encode(), "401 Unauthorized"))]
        error = await fail(make(api_key=KEY))
        assert "Bad key ***" in error.message
        assert "the setting api_key" in error.hint
        assert KEY not in f"{error!r} {error.full_text} {caplog.text}"

    async def test_an_error_of_the_listener_is_its_own(self, server: ScriptedServer, make: Make) -> None:
        """An exception of `emit` passes through unchanged, and closes the connection."""
        server.script = [Reply(sse(chunk("a"), end=False), "stall")]

        async def emit(delta: Delta) -> None:
            raise KeyError(delta)

        with pytest.raises(KeyError):
            await make().respond(ASKED, emit)
        with trio.fail_after(60):
            await server.hung_up.wait()


class TestSloppyServers:
    """Answers outside any format, as bytes on a real connection."""

    @pytest.mark.parametrize(
        "kind", ["text/event-stream", "application/octet-stream", "text/plain", "application/json"]
    )
    @pytest.mark.parametrize("stream", [True, False])
    async def test_one_form_for_another(self, server: ScriptedServer, make: Make, kind: str, stream: bool) -> None:
        """A whole answer, a stream and an error are recognised under any content type."""
        events = b"".join((chunk("fi"), chunk("ne", "stop"), DONE))
        error = b'{"error": {"message": "context is full", "code": "400"}}'
        server.script = [Reply(http(body, kind=kind)) for body in (text("fine"), events, error, text("fine"))]
        model, emit = make(), discard if stream else None
        assert (await model.respond(ASKED, emit)).content == "fine"
        assert (await model.respond(ASKED, emit)).content == "fine"
        failed = await fail(model, stream=stream)
        assert "context is full" in failed.message
        assert (failed.status, failed.retryable) == (400, False)
        assert (await model.respond(ASKED, emit)).content == "fine"

    async def test_a_character_in_two_packets(self, server: ScriptedServer, make: Make) -> None:
        """A character split between two pieces of the body arrives whole."""
        body = chunk("Hé👋").replace(b"\\u00e9", "é".encode()).replace(b"\\ud83d\\udc4b", "👋".encode())
        at = body.index("👋".encode()) + 2
        server.script = [Reply(sse(body[:at], body[at:], chunk(None, "stop"), DONE))]
        assert (await make().respond(ASKED, discard)).content == "Hé👋"

    async def test_a_key_in_the_address(
        self, server: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The key is sent, and missing from errors, repr, tracebacks and logs, including the HTTP library's."""
        caplog.set_level(logging.DEBUG)
        quoted = f'{{"error": {{"message": "no such path: /v1?key={KEY}&x=1"}}}}'.encode()
        server.script = [Reply(http(quoted, "404 Not Found")), Reply(b"", "close")]
        model = make(base_url=f"{server.url}?key={KEY}")
        errors = [await fail(model), await fail(model)]
        assert server.asked[0].path == f"/v1/chat/completions?key={KEY}"
        assert "no such path: /v1?key=***&x=1" in errors[0].message
        said = "".join(line for error in errors for line in traceback.format_exception(error))
        assert KEY not in f"{said} {errors!r} {model!r} {model.server!r} {caplog.text}"
        assert "HTTP Request: POST" in caplog.text

    async def test_names_that_the_format_does_not_allow(self, server: ScriptedServer) -> None:
        """A tool with any name is called by the name, though the server sees another."""
        called: list[str] = []

        @tool(name="wetter in münchen?", inline=True)
        def weather(city: str) -> str:
            """The weather."""
            called.append(city)
            return "Clear."

        async with Runtime(settings={"openai": {"base_url": server.url}}) as runtime:
            agent = Agent("openai:m", tools=(weather,))
            server.script = [Reply(http(text("Which?")))]
            await runtime.run(agent, "Hi.")
            wire = server.asked[0].body["tools"][0]["function"]["name"]
            pieces = [{"name": wire[:4], "arguments": ""}, {"name": wire[4:], "arguments": {"city": "Rome"}}]
            calling = [thought({"tool_calls": [{"index": 0, "function": piece}]}) for piece in pieces]
            server.script = [
                Reply(sse(*calling, thought({}, "tool_calls"), DONE)),
                Reply(sse(chunk("Ok", "stop"), DONE)),
            ]
            async with runtime.stream(agent, "Weather?") as events:
                seen = [event async for event in events]
        assert called == ["Rome"]
        assert [event.call.name for event in seen if isinstance(event, ToolStarted)] == ["wetter in münchen?"]
        assert server.asked[2].body["messages"][1]["tool_calls"][0]["function"]["name"] == wire

    async def test_texts_that_are_not_unicode(self, server: ScriptedServer) -> None:
        """Half a character in a tool's result does not fail the run."""

        @tool(inline=True)
        def newest() -> str:
            """The newest file."""
            return "caf\udce9.txt"

        call = {"id": "a", "function": {"name": "newest", "arguments": "null"}}
        body = json.dumps({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}).encode()
        server.script = [Reply(http(body)), Reply(http(text("Found.")))]
        async with Runtime(settings={"openai": {"base_url": server.url}}) as runtime:
            result = await runtime.run(Agent("openai:m", tools=(newest,)), "Which is the newest?")
        assert result.content == "Found."
        assert server.asked[1].body["messages"][-1]["content"] in ("caf\ufffd.txt", "caf?.txt")

    @pytest.mark.parametrize(("settings", "roles"), [({}, "su"), ({"system": "anywhere"}, "sus")])
    async def test_where_system_messages_may_stand(
        self, server: ScriptedServer, make: Make, settings: dict[str, Any], roles: str
    ) -> None:
        """System messages are joined before the rest, unless the settings allow them anywhere."""
        server.script = [Reply(http(text("Ok.")))]
        asked = ModelRequest((Message("system", "A."), Message("user", "Hi."), Message("system", "B.")))
        await make(**settings).respond(asked)
        messages = server.asked[0].body["messages"]
        assert "".join(message["role"][0] for message in messages) == roles
        assert messages[0]["content"] == ("A.\n\nB." if roles == "su" else "A.")


class TestCancellation:
    """A cancelled request."""

    @pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200", sse(chunk("a"), end=False)])
    async def test_closes_its_connection_at_once(self, server: ScriptedServer, make: Make, data: bytes) -> None:
        """Cancelled before or within the answer, the server sees a closed connection, and the model goes on."""
        server.script = [Reply(data, "stall"), Reply(http(text("fine")))]
        model = make(max_connections=1)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(model.respond, ASKED, discard)
                await server.asked_once.wait()
                nursery.cancel_scope.cancel()
            await server.hung_up.wait()
            assert (await model.respond(ASKED)).content == "fine"
        assert model.statistics()[0].in_use == 0

    async def test_within_a_slow_listener(self, server: ScriptedServer, make: Make) -> None:
        """A listener that blocks the stream is cancelled too."""
        server.script = [Reply(sse(chunk("a"), end=False), "stall"), Reply(http(text("fine")))]
        model = make(max_connections=1)
        listening = trio.Event()

        async def emit(delta: Delta) -> None:
            listening.set()
            await trio.sleep_forever()

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(model.respond, ASKED, emit)
                await listening.wait()
                nursery.cancel_scope.cancel()
            await server.hung_up.wait()
            assert (await model.respond(ASKED)).content == "fine"

    async def test_fifty_of_them_leave_the_pool_empty(self, server: ScriptedServer, make: Make) -> None:
        """Cancelled requests, waiting for a connection or connected, do not use up the pool."""
        server.script = [Reply(b"", "stall")]
        model = make(max_connections=4)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(model.respond, ASKED)
                await trio.testing.wait_all_tasks_blocked(0.05)
                assert (model.statistics()[0].in_use, model.statistics()[0].waiting) == (4, 46)
                nursery.cancel_scope.cancel()
            server.script = [Reply(http(text("fine")))]
            assert (await model.respond(ASKED)).content == "fine"
        assert (model.statistics()[0].in_use, model.statistics()[0].waiting) == (0, 0)

    async def test_too_many_at_once_are_refused(self, server: ScriptedServer, make: Make) -> None:
        """Beyond max_waiting a request is refused, not queued."""
        server.script = [Reply(b"", "stall")]
        model = make(max_connections=1, max_waiting=0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(model.respond, ASKED)
            await server.asked_once.wait()
            with pytest.raises(Overloaded, match="max_connections"):
                await model.respond(ASKED)
            nursery.cancel_scope.cancel()

    async def test_closing_fails_what_is_under_way(self, server: ScriptedServer, make: Make) -> None:
        """Closing a model ends its requests with a `ModelError`, without a hang."""
        server.script = [Reply(sse(chunk("a"), end=False), "stall")]
        model = make()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, model)
            await server.asked_once.wait()
            await trio.testing.wait_all_tasks_blocked(0.05)
            await model.aclose()


class TestSettings:
    """Settings of the plugin."""

    def test_a_spec_chooses_a_server(self) -> None:
        """`NAME:MODEL` asks a configured server NAME; any other colon belongs to the model's name."""
        settings = {
            "read_timeout": 5,
            "servers": {"local": {"base_url": "http://127.0.0.1:1/v1", "max_connections": 2}},
        }
        model, name, server = choose("local:qwen3:8b", settings)
        assert (model, name, server.host, server.max_connections) == ("qwen3:8b", "local", "127.0.0.1:1", 2)
        model, name, server = choose("ft:gpt:x", settings)
        assert (model, name, server.is_official, server.read_timeout) == ("ft:gpt:x", "", True, 5.0)

    @pytest.mark.parametrize(
        ("spec", "settings", "said"),
        [
            ("m", {"base_ulr": "x"}, "base_url"),
            ("m", {"read_timeout": "5"}, "read_timeout"),
            ("m", {"read_timeout": -5}, "read_timeout"),
            ("m", {"max_connections": 0}, "max_connections"),
            ("m", {"base_url": "localhost:8080"}, "'localhost:8080' is not an HTTP address"),
            ("m", {"base_url": "http://[::1/v1"}, "is not an HTTP address"),
            ("m", {"base_url": f"http://{'x' * 70}/v1"}, "is not an HTTP address"),
            ("m", {"headers": {"a b": "c"}}, "header 'a b'"),
            ("m", {"servers": {"a": {}}}, "[plugins.openai.servers.a]: base_url is missing"),
            ("m", {"servers": {"a": {"base_url": "http://a", "keys": 1}}}, "plugins.openai.servers.a"),
            ("m", {"output": "json"}, "output"),
            ("m", {"media": "image/png"}, "media"),
            ("m", {"price": {"input": 1}}, "[plugins.openai.price]"),
            ("m", {"think_tags": "on"}, "think_tags"),
            ("m", {"models": {"m": {"pirce": 1}}}, "[plugins.openai.models.m]"),
            ("m", {"models": {"m": 1}}, "'m' is not a table"),
            ("m", {"servers": {"a": {"base_url": "http://a", "models": {"m": {"x": 1}}}}}, "servers.a.models.m"),
            ("m", {"servers": {"a:b": {"base_url": "http://a"}}}, "colon"),
            ("", {}, "names no model"),
            ("a:", {"servers": {"a": {"base_url": "http://a"}}}, "openai:a:MODEL"),
            ("a", {"servers": {"a": {"base_url": "http://a"}}}, "openai:a:MODEL"),
        ],
    )
    def test_what_cannot_be_is_named(self, spec: str, settings: dict[str, Any], said: str) -> None:
        """The error for a bad key or value has the name and the place."""
        with pytest.raises(UsageError) as caught:
            choose(spec, settings)
        assert said in caught.value.full_text

    @pytest.mark.parametrize(
        ("model", "takes", "output"),
        [
            ("gpt-4o-mini-2024-07-18", "image/png", "schema"),
            ("ft:gpt-4o-mini-2024-07-18:me::id", "application/pdf", "schema"),
            ("gpt-5", "image/webp", "schema"),
            ("gpt-4o-audio-preview", "audio/wav", "schema"),
            ("o3-mini", None, "schema"),
            ("o3", "image/png", "schema"),
            ("gpt-4", None, "tool"),
            ("gpt-4-0613", None, "tool"),
            ("gpt-4-turbo", "image/png", "tool"),
            ("o1-mini", None, "prompt"),
        ],
    )
    def test_what_is_known_of_openai_s_models(self, model: str, takes: str | None, output: str) -> None:
        """A family is known by name: its media, and its way to ask for an output type."""
        profile = OpenAIModel(model).profile
        assert profile.media is not None
        assert (takes in profile.media) if takes else profile.media == ()
        assert profile.output == output

    def test_of_others_nothing_is_known(self) -> None:
        """For a new model, and for any model of another server, the provider decides."""
        assert OpenAIModel("gpt-9").profile == ModelProfile("schema", None, None)
        assert OpenAIModel("gpt-4", base_url="http://host/v1").profile == ModelProfile("schema", None, None)

    def test_the_settings_know_better(self) -> None:
        """Facts about a model override facts about its server, and both override known facts."""
        price = {"input": 1.25, "output": 10.0, "cached_input": 0.125}
        table = {
            "media": ["image/*"],
            "models": {"qwen*": {"output": "tool", "media": []}, "qwen3*": {"price": price, "think_tags": "off"}},
            "servers": {"local": {"base_url": "http://host/v1", "models": {"a": {"output": "prompt"}}}},
        }

        def profile(spec: str) -> ModelProfile:
            model, _, server = choose(spec, table)
            return OpenAIModel(model, server).profile

        assert profile("gpt-4") == ModelProfile("tool", ("image/*",))
        assert profile("qwen2") == ModelProfile("tool", ())
        assert profile("qwen3-8b") == ModelProfile("schema", ("image/*",), Price(1.25, 10.0, 0.125))
        assert profile("local:a") == ModelProfile("prompt", None)
        assert profile("local:qwen3") == ModelProfile("schema", None)

    def test_credentials_in_an_address_are_not_shown(self) -> None:
        """An address with a password is refused without repeating the password."""
        with pytest.raises(UsageError) as caught:
            OpenAIModel("m", base_url=f"http://user:{KEY}@host/v1")
        assert KEY not in caught.value.full_text

    async def test_openai_itself_needs_a_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a key, the error of the first request names the variable to set."""
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set") as caught:
            await OpenAIModel("gpt-5").respond(ASKED)
        assert "Set OPENAI_API_KEY" in caught.value.hint

    def test_the_key_goes_to_its_owner_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OPENAI_API_KEY is for OpenAI's servers; other servers get a key only by their settings."""
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OTHER_KEY", "sk-other")
        assert Server().key().text == KEY
        assert Server(base_url="https://eu.api.openai.com/v1").key().text == KEY
        assert Server(base_url="https://api.openai.com.evil.example/v1").key().text == ""
        assert Server(base_url="http://host/v1").key().text == ""
        assert Server(base_url="http://host/v1", api_key_env="OTHER_KEY").key().text == "sk-other"

    @pytest.mark.parametrize("key", ["sk-a\nb", "sk-é", "sk-\0"])
    def test_a_key_that_cannot_be_sent(self, key: str) -> None:
        """A key with odd characters is refused before any library can quote the key."""
        with pytest.raises(ConfigError) as caught:
            Server(api_key=key).key()
        assert key not in caught.value.full_text

    def test_a_query_in_the_address_is_kept(self) -> None:
        """A query with a server's version is kept, and not shown."""
        server = Server(base_url="https://host/deployments/x/?api-version=1")
        assert server.url("chat/completions") == "https://host/deployments/x/chat/completions?api-version=1"
        assert "api-version" not in f"{OpenAIModel('m', server)!r} {server!r}"


class TestThroughTheRuntime:
    """The plugin through specs and settings."""

    async def test_a_streamed_run_with_a_tool(self, server: ScriptedServer) -> None:
        """A spec and settings lead to a run that calls a tool and answers."""
        call = {
            "index": 0,
            "id": "c1",
            "type": "function",
            "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'},
        }
        choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
        calling = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
        server.script = [Reply(sse(calling, DONE)), Reply(sse(chunk("It is "), chunk("5."), chunk(None, "stop"), DONE))]

        @tool(inline=True)
        def add(a: int, b: int) -> int:
            """Add two numbers."""
            return a + b

        settings = {"openai": {"servers": {"local": {"base_url": server.url}}}}
        async with Runtime(settings=settings) as runtime:
            agent = Agent("openai:local:m", tools=(add,))
            async with runtime.stream(agent, "What is 2 + 3?") as events:
                seen = [event async for event in events]
        assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == "It is 5."
        assert [event.content for event in seen if isinstance(event, ToolEnded)] == ["5"]
        assert isinstance(seen[-1], RunEnded)
        assert server.asked[1].body["messages"][-1] == {"role": "tool", "content": "5", "tool_call_id": "c1"}

    async def test_a_run_on_an_image(self, server: ScriptedServer) -> None:
        """The image reaches the server; answer, reasoning and usage come back."""
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}
        message = {"content": "A dot.", "reasoning_content": "Red."}
        body = json.dumps({"choices": [{"message": message}], "usage": usage}).encode()
        server.script = [Reply(http(body))]
        settings = {"openai": {"base_url": server.url, "media": ["image/*"], "price": {"input": 2.0, "output": 8.0}}}
        async with Runtime(settings=settings) as runtime:
            result = await runtime.run(Agent("openai:m"), ["What is this?", media.image(PNG)])
            assert (result.content, result.reasoning, result.usage.cost) == ("A dot.", "Red.", 2.0)
            with pytest.raises(UsageError, match="does not accept application/pdf"):
                await runtime.run(Agent("openai:m"), ["What is this?", media.file(b"%PDF-1.4")])
        assert [part["type"] for part in server.asked[0].body["messages"][0]["content"]] == ["text", "image_url"]
        assert len(server.asked) == 1

    async def test_a_failed_run_keeps_the_error(self, server: ScriptedServer) -> None:
        """The server's failure reaches the caller unchanged, with the result so far."""
        server.script = [Reply(http(b"{}", "503 Service Unavailable", more="retry-after: 3\r\n"))]
        async with Runtime(settings={"openai": {"base_url": server.url}}) as runtime:
            with pytest.raises(ModelError) as caught:
                await runtime.run(Agent("openai:m"), "Hi.")
        assert (caught.value.status, caught.value.retry_after) == (503, 3.0)
        assert caught.value.result.status == "failed"


class TestCacheKey:
    """`prompt_cache_key`: one for all requests of an agent."""

    @pytest.mark.parametrize("api", ["chat", "responses"])
    async def test_the_key_names_the_beginning(self, api: Api) -> None:
        """Requests with the same instructions and tools share a key; settings and `extra` come first."""

        async def ask(*messages: Message, cache_key: bool | None = True, **extra: Any) -> str | None:
            async with open_wire_server(WireReply((b"{}",), 500)) as server:
                model = OpenAIModel("m", Server(base_url=f"{server.url}/v1", api=api, cache_key=cache_key))
                request = ModelRequest(messages, settings=ModelSettings(extra=extra))
                with pytest.raises(ModelError):
                    await model.respond(request)
                await model.aclose()
                key = server.requests[0].json().get("prompt_cache_key")
                assert key is None or isinstance(key, str)
                return key

        brief, long, hello = Message("system", "Be brief."), Message("system", "Be long."), Message("user", "Hello")
        first = await ask(brief, hello)
        assert first is not None
        assert first == await ask(brief, Message("user", "Other words"))
        assert first != await ask(long, hello)
        assert len(first) <= 64
        assert "brief" not in first
        assert await ask(brief, hello, prompt_cache_key="mine") == "mine"
        assert await ask(brief, hello, cache_key=None) is None
