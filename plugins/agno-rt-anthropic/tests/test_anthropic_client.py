"""The client against a server for the messages format over a real socket: answers, failures, cancellation, runs.

References: Anthropic's API reference, "Create a Message", and its guides "Errors", "Streaming messages" and "Thinking".
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
from agno_rt_anthropic import AnthropicModel, Server

from agno_rt import Agent, Message, ModelRequest, ModelSettings, Retry, Runtime, media, tool
from agno_rt.errors import ConfigError, ModelError, Overloaded
from agno_rt.events import Delta, ReasoningDelta, TextDelta
from agno_rt.models import Price
from tests.servers.messages_server import KEY, Asked, MessagesServer, Reply, Turn, error, event, events, http, sse

ASKED = ModelRequest((Message("user", "Hi."),))
HELLO = Turn(({"type": "text", "text": "Hello, you."},))


@pytest.fixture
async def server(nursery: trio.Nursery) -> MessagesServer:
    """A listening server."""
    messages = MessagesServer()
    await nursery.start(messages.serve)
    return messages


Make = Callable[..., AnthropicModel]


@pytest.fixture
async def make(server: MessagesServer) -> AsyncIterator[Make]:
    """A factory of models of the server; the models are closed after the test."""
    models: list[AnthropicModel] = []

    def make(model: str = "m", **settings: Any) -> AnthropicModel:
        models.append(AnthropicModel(model, Server(**{"base_url": server.url, "read_timeout": 30.0, **settings})))
        return models[-1]

    yield make
    for model in models:
        await model.aclose()


class Collected:
    """An `emit` that keeps the deltas."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    async def __call__(self, delta: Delta) -> None:
        """Keep the delta."""
        self.deltas.append(delta)

    @property
    def text(self) -> str:
        """The text deltas, joined."""
        return "".join(delta.text for delta in self.deltas if isinstance(delta, TextDelta))


async def fail(model: AnthropicModel, *, stream: bool = False) -> ModelError:
    """Return the error of a request that must fail."""
    with trio.fail_after(60), pytest.raises(ModelError) as caught:
        await model.respond(ASKED, Collected() if stream else None)
    assert caught.value.provider == model.server.host
    return caught.value


class TestAnswers:
    """Valid answers."""

    async def test_asks_and_reads_the_answer(self, server: MessagesServer, make: Make) -> None:
        """The request has the path, the key, the version and the betas; the answer has its request id."""
        server.script = [HELLO]
        model = make(api_key=KEY, betas=("files-api-2025-04-14",), headers={"X-Team": "blue"})
        response = await model.respond(ASKED)
        assert (response.content, response.usage.total_tokens, response.request_id) == ("Hello, you.", 17, "req_1")
        [asked] = server.asked
        assert asked.path == "/v1/messages"
        assert asked.headers["x-api-key"] == KEY
        assert "authorization" not in asked.headers
        assert asked.headers["anthropic-version"] == "2023-06-01"
        assert asked.headers["anthropic-beta"] == "files-api-2025-04-14"
        assert asked.headers["x-team"] == "blue"
        assert "stream" not in asked.body

    async def test_streams(self, server: MessagesServer, make: Make) -> None:
        """With `emit`, deltas come as they arrive, and their text is the response's."""
        server.script = [HELLO]
        collected = Collected()
        response = await make().respond(ASKED, collected)
        assert collected.text == response.content == "Hello, you."
        assert len(collected.deltas) > 1
        assert server.asked[0].body["stream"] is True

    async def test_a_key_as_a_bearer_token(self, server: MessagesServer, make: Make) -> None:
        """Gateways may take the key as a bearer token, and the newer version goes with either header."""
        server.script = [HELLO]
        await make(api_key=KEY, key_header="authorization", version="2026-10-21").respond(
            ModelRequest(ASKED.messages, settings=ModelSettings(temperature=0.0))
        )
        headers = server.asked[0].headers
        assert (headers["authorization"], headers["anthropic-version"]) == (f"Bearer {KEY}", "2026-10-21")
        assert "x-api-key" not in headers

    async def test_uses_its_connection_again(self, server: MessagesServer, make: Make) -> None:
        """Whole and streamed answers leave the connection for the next request."""
        server.script = [HELLO]
        model = make()
        for emit in (None, Collected(), None, Collected()):
            await model.respond(ASKED, emit)
        assert server.connections == 1
        assert model.statistics()[0].in_use == 0

    async def test_a_paused_answer_goes_on(self, server: MessagesServer, make: Make) -> None:
        """An answer that the service pauses is continued with its own blocks, in one response and one stream."""
        search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "rivers"}}
        paused = Turn(({"type": "text", "text": "I search."}, search), "pause_turn")
        server.script = [paused, Turn(({"type": "text", "text": " The Nile."},))]
        collected = Collected()
        response = await make().respond(ASKED, collected)
        assert response.content == collected.text == "I search. The Nile."
        assert response.usage.output_tokens == 10
        assert server.asked[1].body["messages"][1]["content"] == list(paused.blocks)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_compaction_goes_on(self, server: MessagesServer, make: Make, stream: bool) -> None:
        """An answer that pauses after a compaction is continued with the summary, which goes back with the answer.

        Reference: Anthropic's guide "Compaction", `pause_after_compaction`.
        """
        edits = {"edits": [{"type": "compact_20260112", "pause_after_compaction": True}]}
        summary = {"type": "compaction", "content": "They spoke of rivers."}
        server.script = [Turn((summary,), "compaction"), Turn(({"type": "text", "text": "The Nile."},)), HELLO]
        model = make(context_management=edits)
        response = await model.respond(ASKED, Collected() if stream else None)
        assert (response.content, response.finish_reason) == ("The Nile.", "stop")
        assert server.asked[1].body["messages"][-1]["content"] == [summary]
        answer = Message("assistant", response.content, native=response.native)
        await model.respond(ModelRequest((*ASKED.messages, answer, Message("user", "And?"))))
        sent = server.asked[2].body["messages"][1]["content"]
        assert [block["type"] for block in sent] == ["compaction", "text"]

    async def test_the_cost_of_a_long_prompt(self, server: MessagesServer, make: Make) -> None:
        """A run counts a long prompt at the model's price for long prompts."""
        model = make(price=Price(1.0, 1.0, long_from=100_000, long=Price(10.0, 10.0)))
        for tokens, cost in ((200_000, 2.0), (100_000, 0.1)):
            server.script = [Turn(HELLO.blocks, usage={"input_tokens": tokens, "output_tokens": 0})]
            async with Runtime() as runtime:
                assert (await runtime.run(Agent(model), "?")).usage.cost == pytest.approx(cost)


class TestFailures:
    """Failures as the guide "Errors" lists them, and those of the network."""

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("status", "kind", "retryable"),
        [
            (400, "invalid_request_error", False),
            (401, "authentication_error", False),
            (402, "billing_error", False),
            (403, "permission_error", False),
            (404, "not_found_error", False),
            (413, "request_too_large", False),
            (429, "rate_limit_error", True),
            (500, "api_error", True),
            (504, "timeout_error", True),
            (529, "overloaded_error", True),
        ],
    )
    async def test_statuses(
        self, server: MessagesServer, make: Make, status: int, kind: str, retryable: bool, stream: bool
    ) -> None:
        """Each status keeps its number, its words, its id, and whether a retry may help."""
        server.script = [Reply(error(status, kind, "Because.", more="retry-after: 7\r\n"))]
        failed = await fail(make(), stream=stream)
        assert (failed.status, failed.retryable, failed.retry_after) == (status, retryable, 7.0)
        assert "Because." in str(failed)
        assert failed.request_id == "req_1"

    async def test_an_error_within_a_stream(self, server: MessagesServer, make: Make) -> None:
        """An error event after some text is an error, though the status was 200; the text came before."""
        fault = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        server.script = [Reply(sse(*map(event, [*list(events(HELLO))[:5], fault])))]
        collected = Collected()
        with pytest.raises(ModelError, match="Overloaded") as caught:
            await make().respond(ASKED, collected)
        assert collected.text
        assert (caught.value.status, caught.value.retryable) == (529, True)

    @pytest.mark.parametrize(
        ("reply", "words"),
        [
            (Reply(sse(*map(event, list(events(HELLO))[:5]), end=False), "close"), "broke the connection off"),
            (Reply(sse(*map(event, list(events(HELLO))[:5]))), "broke off its stream"),
            (Reply(sse(*map(event, list(events(HELLO))[:5]), end=False), "reset"), "dropped the connection"),
            (Reply(sse(b"data: {\n\n")), "broken JSON"),
            (Reply(b"", "close"), "broke the connection off"),
        ],
    )
    async def test_broken_streams(self, server: MessagesServer, make: Make, reply: Reply, words: str) -> None:
        """A stream that breaks in any way is an error with its cause."""
        server.script = [reply]
        assert words in str(await fail(make(), stream=True))

    async def test_a_slow_server(self, server: MessagesServer, make: Make) -> None:
        """A server that stalls is given up after the read timeout."""
        server.script = [Reply(b"", "stall")]
        failed = await fail(make(read_timeout=0.2))
        assert failed.retryable
        assert "stalled" in str(failed)

    async def test_a_short_body(self, server: MessagesServer, make: Make) -> None:
        """A body that is shorter than promised is an error worth a retry."""
        server.script = [Reply(http(b'{"content": []', short=20), "close")]
        assert (await fail(make())).retryable

    async def test_a_missing_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a key nothing is sent, and the error names the variable."""
        monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
        model = AnthropicModel("claude-sonnet-5-5")
        with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY is not set"):
            model.check_ready()
        with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY is not set"):
            await model.respond(ASKED)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_the_key_is_nowhere(
        self, server: MessagesServer, make: Make, stream: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The key stands in no error, no traceback, no log and no repr, even if the server quotes the key."""
        model = make(api_key=KEY)
        server.script = [Reply(error(401, "authentication_error", f"invalid x-api-key {KEY}"))]
        with caplog.at_level(logging.DEBUG):
            failed = await fail(model, stream=stream)
        shown = "".join(traceback.format_exception(failed)) + repr(model) + repr(model.server) + failed.hint
        assert KEY not in shown
        assert KEY not in caplog.text
        assert "***" in str(failed)


class TestConnections:
    """Connections are closed or returned, whatever happens."""

    async def test_cancelled_streams(self, server: MessagesServer, make: Make) -> None:
        """A cancelled stream closes its connection, and the next request passes."""
        server.script = [Reply(sse(*map(event, list(events(HELLO))[:5]), end=False), "stall"), HELLO]
        model = make()
        with trio.fail_after(60):
            with trio.CancelScope() as scope:

                async def emit(delta: Delta) -> None:
                    scope.cancel()

                await model.respond(ASKED, emit)
            assert scope.cancelled_caught
            await server.hung_up.wait()
            assert (await model.respond(ASKED)).content == "Hello, you."
        assert model.statistics()[0].in_use == 0

    async def test_crowds_of_failures(self, server: MessagesServer, make: Make) -> None:
        """Fifty requests that are refused, left early or cancelled leave the two connections free."""
        model = make(max_connections=2)
        refused = Reply(error(429, "rate_limit_error", "Slow down."))
        cut = Reply(sse(*map(event, list(events(HELLO))[:4]), end=False), "stall")

        def choose(asked: Asked) -> Turn | Reply:
            return cut if json.loads(asked.raw)["messages"][0]["content"][0]["text"] == "stall" else refused

        server.script = [choose]

        async def ask(number: int) -> None:
            async def leave(delta: Delta) -> None:
                raise ValueError("seen enough")

            async def wait(delta: Delta) -> None:
                scope.cancel()
                scope.cancel()
                await trio.sleep_forever()

            words = "refuse" if number % 3 == 0 else "stall"
            request = ModelRequest((Message("user", words),))
            with trio.CancelScope() as scope, pytest.raises((ModelError, ValueError)):
                await model.respond(request, leave if number % 3 == 1 else wait)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(ask, number)
            server.script = [HELLO]
            assert (await model.respond(ASKED)).content == "Hello, you."
        assert server.most_open <= 2
        assert model.statistics()[0].in_use == 0

    async def test_too_many_wait(self, server: MessagesServer, make: Make) -> None:
        """Beyond the waiting list a request is refused at once."""
        server.script = [Reply(b"", "stall")]
        model = make(max_connections=1, max_waiting=0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(model.respond, ASKED)
            await server.asked_once.wait()
            with pytest.raises(Overloaded):
                await model.respond(ASKED)
            nursery.cancel_scope.cancel()


@tool
def weather(city: str = "Seoul") -> str:
    """Current weather in a city."""
    called.append(city)
    return f"Sun in {city}"


called: list[str] = []


class TestRuns:
    """Whole runs over the wire."""

    @pytest.mark.parametrize("stream", [False, True])
    async def test_thinking_goes_back(self, server: MessagesServer, make: Make, stream: bool) -> None:
        """Two thoughts and a redacted one, between text and two calls, go back in order and unchanged."""
        blocks = (
            {"type": "thinking", "thinking": "One é.", "signature": "c2ln+/=="},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Seoul"}},
            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            {"type": "thinking", "thinking": "", "signature": "second"},
            {"type": "tool_use", "id": "b", "name": "weather", "input": {}},
        )
        server.script = [Turn(blocks, "tool_use"), HELLO]
        agent = Agent(make(), tools=[weather])
        called.clear()
        async with Runtime() as runtime:
            if stream:
                async with runtime.stream(agent, "Weather?", session="s") as seen:
                    thoughts = "".join([each.text async for each in seen if isinstance(each, ReasoningDelta)])
                assert thoughts == "One é."
            else:
                await runtime.run(agent, "Weather?", session="s")
            await runtime.run(agent, "And now?", session="s")
        for asked in server.asked[1:]:
            assert asked.body["messages"][1]["content"] == list(blocks)
        assert called == ["Seoul", "Seoul"]

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_call_without_arguments(self, server: MessagesServer, make: Make, stream: bool) -> None:
        """A call without parameters runs once, and goes back with an object as input."""
        call = {"type": "tool_use", "id": "a", "name": "weather", "input": {}}
        server.script = [Turn((call,), "tool_use"), HELLO]
        agent = Agent(make(), tools=[weather])
        called.clear()
        async with Runtime() as runtime:
            if stream:
                async with runtime.stream(agent, "Weather?") as seen:
                    _ = [each async for each in seen]
            else:
                await runtime.run(agent, "Weather?")
        assert called == ["Seoul"]
        assert server.asked[1].body["messages"][1]["content"] == [call]

    async def test_a_cut_call_never_runs(self, server: MessagesServer, make: Make) -> None:
        """A stream that breaks within a call's arguments is asked again; only the whole call runs."""
        call = {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Seoul"}}
        turn = Turn(({"type": "text", "text": "Let me see."}, call), "tool_use")
        cut = list(events(turn))[:-4]
        server.script = [Reply(sse(*map(event, cut), end=False), "close"), turn, HELLO]
        agent = Agent(Retry(make(), attempts=3, wait=0.01), tools=[weather])
        called.clear()
        async with Runtime() as runtime, runtime.stream(agent, "Weather?") as seen:
            got = [each async for each in seen]
        assert called == ["Seoul"]
        assert seen.result is not None
        assert seen.result.content == "Hello, you."
        names = [type(each).__name__ for each in got]
        restarted = names.index("TurnRestarted")
        text = "".join(each.text for each in got[restarted:] if isinstance(each, TextDelta))
        assert text == "Let me see.Hello, you."

    async def test_by_a_spec(self, server: MessagesServer) -> None:
        """A spec and settings lead to a run; an image reaches the server."""
        server.script = [HELLO]
        settings = {"anthropic": {"servers": {"local": {"base_url": server.url, "cache": "off"}}}}
        picture = media.image("data:image/gif;base64,R0lGODlhAQABAIAAAP8AAAAAACwAAAAAAQABAAACAkQBADs=")
        async with Runtime(settings=settings) as runtime:
            result = await runtime.run(Agent("anthropic:local:m"), ["What is this?", picture])
        assert result.content == "Hello, you."
        assert server.asked[0].body["messages"][0]["content"][1]["type"] == "image"
