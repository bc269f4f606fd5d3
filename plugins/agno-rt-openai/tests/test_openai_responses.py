"""The responses API over a real socket: items kept across turns, answers stored by the server, streams, failures.

Bodies follow the pages "Create a model response", "Streaming events" and "Conversation state" of OpenAI's reference.
The server checks that a reasoning item is followed by its own item, as OpenAI's does.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest
import trio
from agno_rt_openai import OpenAIModel, Server
from agno_rt_openai.profile import choose

from agno_rt import Agent, Message, ModelRequest, ModelSettings, Runtime, Team, tool
from agno_rt.errors import ModelError, UsageError
from agno_rt.events import Delta, TextDelta
from agno_rt.teams import Handoff
from agno_rt.testing import WireReply, WireServer, open_wire_server

Json = dict[str, Any]
Make = Callable[..., OpenAIModel]
ASKED = ModelRequest((Message("user", "Hi."),))


def thought(number: int, **more: Any) -> Json:
    """Make an item with encrypted reasoning."""
    return {"id": f"rs_{number}", "type": "reasoning", "summary": [], "encrypted_content": f"gAAA{number}=", **more}


def message(text: str, number: int = 1) -> Json:
    """Make an item with text."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": content}


def call(name: str, arguments: str, number: int = 1) -> Json:
    """Make an item with a call."""
    return {
        "id": f"fc_{number}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{number}",
        "name": name,
        "arguments": arguments,
    }


def response(*output: Json, number: int = 1, **more: Any) -> Json:
    """Make a whole response."""
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    body = {"id": f"resp_{number}", "object": "response", "status": "completed", "error": None}
    return {**body, "output": list(output), "usage": usage, **more}


def whole(*output: Json, number: int = 1, **more: Any) -> WireReply:
    """Make a reply with a whole response."""
    body = json.dumps(response(*output, number=number, **more)).encode()
    return WireReply((body,), headers={"x-request-id": f"req_{number}"})


def refused(status: int, message_: str, code: str = "invalid_request_error") -> WireReply:
    """Make a reply with an error."""
    return WireReply((json.dumps({"error": {"message": message_, "code": code}}).encode(),), status)


def streamed(*events: Json, **more: Any) -> WireReply:
    """Make a reply with a stream of events."""
    pieces = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    return WireReply(tuple(pieces), content_type="text/event-stream", headers={"x-request-id": "req_s"}, **more)


@pytest.fixture
async def server() -> AsyncIterator[WireServer]:
    """A listening server without replies."""
    async with open_wire_server() as server:
        yield server


@pytest.fixture
async def make(server: WireServer) -> AsyncIterator[Make]:
    """A factory of models of the server, closed after the test."""
    models: list[OpenAIModel] = []

    def make(**settings: Any) -> OpenAIModel:
        usual = {"base_url": server.url, "read_timeout": 30.0, "api": "responses", "encrypted_reasoning": True}
        models.append(OpenAIModel("m", Server(**{**usual, **settings})))
        return models[-1]

    yield make
    for model in models:
        await model.aclose()


def sent(server: WireServer, at: int = -1) -> Json:
    """Return the body of a request, and check that each reasoning item has the item that followed it."""
    body: Json = server.requests[at].json()
    items = body["input"]
    for item, after in zip(items, [*items[1:], {}], strict=True):
        if item.get("type") == "reasoning":
            assert after.get("id", "").removeprefix("msg_").removeprefix("fc_") == item["id"].removeprefix("rs_")
    return body


async def talk(model: OpenAIModel, *turns: tuple[str | Message, ...]) -> list[Message]:
    """Send the messages of each turn with everything before them; return the whole conversation."""
    conversation: list[Message] = []
    for turn in turns:
        conversation += [said if isinstance(said, Message) else Message("user", said) for said in turn]
        answer = await model.respond(ModelRequest(tuple(conversation)))
        conversation.append(
            Message(
                "assistant", answer.content, tuple(answer.tool_calls), reasoning=answer.reasoning, native=answer.native
            )
        )
    return conversation


RESULT = Message("tool", "Sun.", (), "call_1", "weather")


class TestStateless:
    """A server that forgets."""

    async def test_asks_and_reads(self, server: WireServer, make: Make) -> None:
        """The request says what not to store; the response has text, usage and the request's id."""
        server.play(whole(thought(1), message("Hello.")))
        got = await make().respond(ASKED)
        assert (got.content, got.usage.total_tokens, got.request_id) == ("Hello.", 5, "req_1")
        assert server.requests[0].path == "/responses"
        assert sent(server) == {
            "model": "m",
            "input": [{"role": "user", "content": "Hi."}],
            "store": False,
            "include": ["reasoning.encrypted_content"],
        }

    async def test_sends_items_back_as_they_came(self, server: WireServer, make: Make) -> None:
        """In three turns with a call, reasoning goes back with the item that followed it, in order."""
        first, second = [thought(1), call("weather", '{"city":"Oslo"}')], [thought(2), message("Sunny.", 2)]
        server.play(whole(*first), whole(*second, number=2), whole(message("Bye.", 3), number=3))
        await talk(make(), ("Weather?",), (RESULT,), ("Thanks.",))
        assert sent(server)["input"] == [
            {"role": "user", "content": "Weather?"},
            *first,
            {"type": "function_call_output", "call_id": "call_1", "output": "Sun."},
            *second,
            {"role": "user", "content": "Thanks."},
        ]

    async def test_a_changed_answer_goes_out_without_ids(self, server: WireServer, make: Make) -> None:
        """When a hook changed the text, neither the reasoning nor the ids go back."""
        server.play(whole(thought(1), message("Sunny, says Bob.")))
        model = make()
        [asked, said] = await talk(model, ("Weather?",))
        changed = attrs.evolve(said, content="Sunny.")
        await model.respond(ModelRequest((asked, changed, Message("user", "Thanks."))))
        assert sent(server)["input"][1] == {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Sunny."}],
        }

    async def test_reasoning_that_is_only_an_id_stays_out(self, server: WireServer, make: Make) -> None:
        """Without encrypted or open text, a forgetful server would not know the reasoning; open text goes back."""
        bare = {"id": "rs_1", "type": "reasoning", "summary": []}
        open_ = {**bare, "content": [{"type": "reasoning_text", "text": "Hm."}]}
        for item, count in ((bare, 3), (open_, 4)):
            server.play(whole(item, message("Hi.")))
            model = make()
            await talk(model, ("1",), ("2",))
            assert len(sent(server)["input"]) == count
            assert (sent(server)["input"][1] == item) == (item is open_)

    @pytest.mark.parametrize("before", [(), (thought(1), message("Hm"))])
    async def test_reasoning_that_was_cut_stays_out(self, server: WireServer, make: Make, before: tuple[Json]) -> None:
        """Reasoning that was cut has no item behind it, without which the service refuses the reasoning (M8)."""
        cut: Json = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        server.play(whole(*before, thought(2), **cut), whole(message("Hi.", 3)))
        await talk(make(), ("1",), ("2",))
        assert sent(server)["input"][1:-1] == [*before]

    async def test_another_service_does_not_get_the_items(self, server: WireServer, make: Make) -> None:
        """Encrypted reasoning of one service goes to no other."""
        server.play(whole(thought(1), message("Hi.")))
        conversation = await talk(make(), ("1",))
        await make(base_url=f"{server.url}/other").respond(ModelRequest((*conversation, Message("user", "2"))))
        assert [item.get("type") for item in sent(server)["input"]] == [None, "message", None]

    async def test_through_a_run_and_its_session(self, server: WireServer) -> None:
        """Items are kept in a session, by name and settings, and a tool runs in between."""

        @tool(inline=True)
        def weather(city: str) -> str:
            """The weather."""
            return f"Sun in {city}."

        first, second = [thought(1), call("weather", '{"city":"Oslo"}')], [thought(2), message("Sunny.", 2)]
        server.play(whole(*first), whole(*second, number=2), whole(message("Bye.", 3), number=3))
        settings = {"openai": {"servers": {"local": {"base_url": server.url}}}}
        async with Runtime(settings=settings) as runtime:
            agent = Agent("openai:local:responses:m", instructions="Be brief.", tools=(weather,))
            assert (await runtime.run(agent, "Weather?", session="s")).content == "Sunny."
            assert (await runtime.run(agent, "Thanks.", session="s")).content == "Bye."
        body = sent(server)
        assert body["instructions"] == "Be brief."
        assert body["input"][1:3] == first
        assert body["input"][4:6] == second


class TestStored:
    """A server that stores answers."""

    async def test_sends_only_what_is_new(self, server: WireServer, make: Make) -> None:
        """A later turn names the last answer; its result and the new question alone are sent, with instructions."""
        server.play(
            whole(thought(1), call("weather", "{}")),
            whole(message("Sunny."), number=2),
            whole(message("Bye."), number=3),
        )
        await talk(make(store=True), (Message("system", "Be brief."), "Weather?"), (RESULT,), ("Thanks.",))
        first, second, third = (sent(server, at) for at in range(3))
        assert (first["store"], "previous_response_id" in first) == (True, False)
        assert second["previous_response_id"] == "resp_1"
        assert second["input"] == [{"type": "function_call_output", "call_id": "call_1", "output": "Sun."}]
        assert third["previous_response_id"] == "resp_2"
        assert third["input"] == [{"role": "user", "content": "Thanks."}]
        assert second["instructions"] == third["instructions"] == "Be brief."

    async def test_a_changed_past_is_sent_whole(self, server: WireServer, make: Make) -> None:
        """If a message before the answer changed, the server's conversation is another one."""
        server.play(whole(message("Hi.")))
        model = make(store=True)
        [_, said] = await talk(model, ("1",))
        await model.respond(ModelRequest((Message("user", "One."), said, Message("user", "2"))))
        assert "previous_response_id" not in sent(server)
        assert len(sent(server)["input"]) == 3

    async def test_an_open_call_starts_a_new_chain(self, server: WireServer, make: Make) -> None:
        """An answer whose call has no result among the new messages is not continued."""
        server.play(whole(call("weather", "{}")), whole(message("Ok.")))
        model = make(store=True)
        conversation = await talk(model, ("1",))
        await model.respond(ModelRequest((*conversation, Message("user", "Never mind."))))
        assert "previous_response_id" not in sent(server)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_answer_that_the_server_lost(self, server: WireServer, make: Make, stream: bool) -> None:
        """The whole conversation goes out again, once, and the chain goes on from there."""
        lost = refused(400, "Previous response with id 'resp_1' not found.", "previous_response_not_found")
        again = streamed(
            {"type": "response.output_text.delta", "delta": "2."},
            {"type": "response.completed", "response": response(message("2."), number=2)},
        )
        server.play(whole(thought(1), message("1.")), lost, again, whole(message("3."), number=3))
        model, got = make(store=True), list[Delta]()

        async def emit(delta: Delta) -> None:
            got.append(delta)

        conversation = [*await talk(model, ("a",)), Message("user", "b")]
        answer = await model.respond(ModelRequest(tuple(conversation)), emit if stream else None)
        assert answer.content == "2."
        assert got == ([TextDelta("2.")] if stream else [])
        assert "previous_response_id" not in sent(server)
        assert len(sent(server)["input"]) == 4
        conversation += [Message("assistant", "2.", native=answer.native), Message("user", "c")]
        await model.respond(ModelRequest(tuple(conversation)))
        assert sent(server)["previous_response_id"] == "resp_2"

    async def test_another_refusal_is_not_tried_again(self, server: WireServer, make: Make) -> None:
        """Only a lost answer is worth the whole conversation."""
        server.play(whole(message("1.")), refused(400, "The input is too long."))
        with pytest.raises(ModelError, match="too long"):
            await talk(make(store=True), ("a",), ("b",))
        assert len(server.requests) == 2

    async def test_a_handoff_there_and_back(self, server: WireServer) -> None:
        """When A hands to B and B back to A, no request continues an answer whose handoff call has no result."""
        url = {"base_url": server.url, "api": "responses", "store": True}
        server.play(
            whole(call("hand_over", '{"to": "b", "reason": "x"}', 1), number=1),
            whole(call("hand_over", '{"to": "a", "reason": "x"}', 2), number=2),
            whole(message("Done."), number=3),
        )
        async with Runtime(settings={"openai": {"servers": {"s": url}}}) as runtime:
            members = [Agent("openai:s:m", name=name, instructions=f"You are {name}.") for name in ("a", "b")]
            team = Team(members, Handoff(members[0], {members[0]: [members[1]]}, back=True))
            assert (await runtime.run(team, "Go.", session="s")).content == "Done."
            await runtime.run(team, "Again.", session="s")
        assert len(server.requests) == 4
        for at in range(len(server.requests)):
            body = sent(server, at)
            calls = {item["call_id"] for item in body["input"] if item.get("type") == "function_call"}
            results = {item["call_id"] for item in body["input"] if item.get("type") == "function_call_output"}
            last = body.get("previous_response_id")
            assert calls <= results
            assert last is None or f"call_{last.removeprefix('resp_')}" in results


class TestStreams:
    """Streamed responses."""

    async def test_streams(self, server: WireServer, make: Make) -> None:
        """Deltas come as they arrive, the connection is used again, and items are kept as from a whole answer."""
        output = [thought(1), message("Hé👋")]
        server.play(
            streamed(
                {"type": "response.created", "response": response(status="in_progress")},
                {"type": "response.output_item.done", "output_index": 0, "item": output[0]},
                {"type": "response.output_text.delta", "output_index": 1, "delta": "Hé"},
                {"type": "response.output_text.delta", "output_index": 1, "delta": "👋"},
                {"type": "response.completed", "response": response(*output)},
            ),
            whole(*output),
        )
        model, got = make(), list[Delta]()

        async def emit(delta: Delta) -> None:
            got.append(delta)

        first, second = await model.respond(ASKED, emit), await model.respond(ASKED)
        assert got == [TextDelta("Hé"), TextDelta("👋")]
        assert first == attrs.evolve(second, request_id="req_s")
        assert first.native is not None
        assert server.requests[0].json()["stream"] is True
        assert server.connections == 1

    @pytest.mark.parametrize(
        ("reply", "said", "retryable"),
        [
            (
                streamed(
                    {"type": "response.output_text.delta", "delta": "A"},
                    {
                        "type": "response.failed",
                        "response": response(status="failed", error={"code": "server_error", "message": "Boom."}),
                    },
                ),
                "reported an error: Boom.",
                True,
            ),
            (streamed({"type": "error", "code": "rate_limit_exceeded", "message": "Slow."}), "error: Slow.", True),
            (streamed({"type": "error", "code": "invalid_prompt", "message": "No."}), "error: No.", False),
            (streamed({"type": "response.output_text.delta", "delta": "A"}), "broke off its stream", True),
            (streamed({"type": "response.output_text.delta", "delta": "A"}, ending="cut"), "in the middle", True),
            (streamed({"type": "response.output_text.delta", "delta": 7}), "not part of a response", False),
            (whole(), "other than a response", False),
            (refused(500, "Oops."), "answered 500 Internal Server Error: Oops.", True),
        ],
    )
    async def test_failures(self, server: WireServer, make: Make, reply: WireReply, said: str, retryable: bool) -> None:
        """Each failure is named, with the request's id, and the next request works."""

        async def emit(delta: Delta) -> None:
            pass

        server.play(reply, whole(message("fine")))
        model = make()
        with pytest.raises(ModelError) as caught:
            await model.respond(ASKED, emit)
        assert said in caught.value.message
        assert caught.value.retryable is retryable
        assert caught.value.request_id == reply.headers.get("x-request-id", "")
        assert (await model.respond(ASKED)).content == "fine"

    async def test_cancelled_streams_leave_the_pool_empty(self, server: WireServer, make: Make) -> None:
        """Cancelled before and within the answer, the model goes on with its one connection."""
        piece = streamed({"type": "response.output_text.delta", "delta": "A"}, ending="stall")
        server.play(WireReply(ending="silent"), piece, whole(message("fine")))
        model = make(max_connections=1)
        with trio.fail_after(60):
            for count in (1, 2):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(model.respond, ASKED)
                    await server.wait_stalled(count)
                    nursery.cancel_scope.cancel()
            assert (await model.respond(ASKED)).content == "fine"
        assert model.statistics()[0].in_use == 0


class TestSettings:
    """The choice of the API."""

    @pytest.mark.parametrize(
        ("spec", "settings", "found"),
        [
            ("responses:gpt-5", {}, ("gpt-5", "", "responses")),
            ("gpt-5", {"api": "responses"}, ("gpt-5", "", "responses")),
            ("gpt-5", {}, ("gpt-5", "", None)),
            ("xai:responses:grok", {}, ("grok", "xai", "responses")),
            ("responses:m", {"servers": {"responses": {"base_url": "http://host"}}}, ("m", "responses", None)),
        ],
    )
    def test_by_spec_or_by_setting(self, spec: str, settings: Json, found: tuple[str, str, str | None]) -> None:
        """`responses:` before the model, or `api`, chooses the API."""
        model, name, server = choose(spec, settings)
        assert (model, name, server.api) == found

    async def test_for_single_models(self, server: WireServer) -> None:
        """A table of a model chooses the API for the model alone."""
        server.play(whole(message("Hi.")))
        settings = {"base_url": server.url, "models": {"new*": {"api": "responses"}}}
        model, _, chosen = choose("new-1", settings)
        asked = OpenAIModel(model, chosen)
        assert (await asked.respond(ASKED)).content == "Hi."
        await asked.aclose()
        assert server.requests[0].path == "/responses"

    @pytest.mark.parametrize("settings", [ModelSettings(seed=1), ModelSettings(stop=("x",))])
    async def test_settings_that_the_api_lacks(self, settings: ModelSettings) -> None:
        """OpenAI's API has no seed and no stop; the error says so before anything is sent."""
        model = OpenAIModel("gpt-5", Server(api="responses", api_key="sk-0123456789"))
        with pytest.raises(UsageError, match="has no"):
            await model.respond(ModelRequest((Message("user", "Hi."),), settings=settings))
