"""The contract of model plugins over their wire: answers, streams and requests in the provider's format.

`failures` has the other half: refusals, broken answers, cancellation and connections.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Sequence
from typing import Any, ClassVar, get_args

import attrs
import pytest

from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Media, Message, ToolCall, Usage
from agno_rt.models import FinishReason, Model, ModelRequest, ModelResponse, ModelSettings, profile_of
from agno_rt.testing.wire.failures import WireFailures
from agno_rt.testing.wire.formats import Thought, WireAnswer
from agno_rt.testing.wire.server import WireServer
from agno_rt.testing.wire.suite import collect_deltas, make_request
from agno_rt.tools import Tool, tool

__all__ = ["CALLS", "THOUGHTS", "ModelWireContract", "make_message"]

_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
CALLS = (
    ToolCall("call_w1", "look_up_weather", '{"city": "Seoul"}'),
    ToolCall("call_w2", "look_up_weather", '{"city": "Oslo"}'),
    ToolCall("call_w3", "tell_time", "{}"),
)
THOUGHTS = (Thought("First, the cities.", "c2lnbmF0dXJlLTE="), Thought("Then, the time.", "c2lnbmF0dXJlLTI="))


@tool
def look_up_weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


@tool
def tell_time() -> str:
    """The time."""
    return "noon"


_TOOLS: tuple[Tool, ...] = (look_up_weather, tell_time)


class ModelWireContract(WireFailures):
    """Rules for a model plugin, tested over a real socket against a server that speaks the provider's format.

    Subclass it in a test file: set `wire` to a `WireFormat`, and override `make_model(base_url)`, which makes a model
    with the API key `key`. Override `make_impatient` to test the read timeout. Set the flags for what the format has.

    Attributes:
        has_thoughts: the format carries reasoning
        has_signatures: the format carries signatures of reasoning, which later requests must send back
        sends_choice: the format can tell a model which tool to call
        sends_schema: the format can ask for an answer that fits a JSON Schema
        reasons: the finish reasons that the format has
        counts: the fields of `Usage` that the format has
    """

    has_thoughts: ClassVar[bool] = True
    has_signatures: ClassVar[bool] = False
    sends_choice: ClassVar[bool] = True
    sends_schema: ClassVar[bool] = True
    reasons: ClassVar[Sequence[FinishReason]] = get_args(FinishReason)
    counts: ClassVar[Sequence[str]] = ("input_tokens", "output_tokens", "reasoning_tokens", "cached_tokens")

    def test_answers_whole_and_streamed_alike(self) -> None:
        """A whole answer and a streamed one give the same response, and the deltas add up to it."""
        answer = WireAnswer("The sun shines in Seoul — 맑음 👋.", usage=Usage(12, 5))

        async def check(model: Model, server: WireServer) -> None:
            server.play(self.render_whole(answer), self.render_streamed(answer))
            whole = await model.respond(make_request("Weather?"))
            deltas: list[Delta] = []
            streamed = await model.respond(make_request("Weather?"), collect_deltas(deltas))
            assert (whole.content, whole.finish_reason, list(whole.tool_calls)) == (answer.text, "stop", [])
            assert whole.request_id == answer.request_id
            assert _drop_native(streamed) == _drop_native(whole)
            assert "".join(each.text for each in deltas if isinstance(each, TextDelta)) == answer.text
            assert len(deltas) > 1
            # The key went along with each request: otherwise the tests of leaks would show nothing.
            assert all(self.key in f"{each.path} {each.headers}" for each in server.requests)

        self.with_server(check)

    def test_reads_a_stream_cut_anywhere(self) -> None:
        """Events that arrive in pieces of a few bytes are read as whole ones: characters and lines are cut, too."""
        answer = WireAnswer("Grüße — 맑음 👋 to all.", tool_calls=CALLS, finish_reason="tool_calls")

        async def check(model: Model, server: WireServer) -> None:
            streamed = self.render_streamed(answer)
            body = b"".join(streamed.pieces)
            crumbs = tuple(body[at : at + 3] for at in range(0, len(body), 3))
            server.play(streamed, attrs.evolve(streamed, pieces=crumbs))
            usual = await model.respond(make_request("Hi.", tools=_TOOLS), collect_deltas([]))
            assert await model.respond(make_request("Hi.", tools=_TOOLS), collect_deltas([])) == usual

        self.with_server(check)

    @pytest.mark.parametrize("calls", [CALLS[:1], CALLS[2:], CALLS[:2], CALLS], ids=len)
    def test_reads_tool_calls(self, calls: tuple[ToolCall, ...]) -> None:
        """One call and several, of one tool and of two, with arguments and without: each is a call of its own."""
        answer = WireAnswer(tool_calls=calls, finish_reason="tool_calls")
        expected = [(call.name, json.loads(call.arguments)) for call in calls]

        async def check(model: Model, server: WireServer) -> None:
            server.play(self.render_whole(answer), self.render_streamed(answer))
            deltas: list[Delta] = []
            for emit in (None, collect_deltas(deltas)):
                response = await model.respond(make_request("Weather, time?", tools=_TOOLS), emit)
                found = [(call.name, json.loads(call.arguments or "{}")) for call in response.tool_calls]
                assert found == expected
                assert len({call.id for call in response.tool_calls}) == len(calls)
                assert all(call.id for call in response.tool_calls)
                assert response.finish_reason == "tool_calls"
            pieces = [each for each in deltas if isinstance(each, ToolCallDelta)]
            assert [each.name for each in pieces if each.name] == [call.name for call in calls]

        self.with_server(check)

    def test_tells_why_an_answer_ended(self) -> None:
        """Each finish reason of the format arrives as its own, whole and streamed."""

        async def check(model: Model, server: WireServer) -> None:
            for reason in self.reasons:
                calls = CALLS[:1] if reason == "tool_calls" else ()
                answer = WireAnswer("Well", tool_calls=calls, finish_reason=reason)
                server.play(self.render_whole(answer), self.render_streamed(answer))
                for emit in (None, collect_deltas([])):
                    response = await model.respond(make_request("Go on.", tools=_TOOLS), emit)
                    assert response.finish_reason == reason

        self.with_server(check)

    def test_counts_tokens(self) -> None:
        """The counts of the format arrive, whole and streamed; the input includes what the cache had."""
        told = Usage(120, 30, 10, 50, cache_write_tokens=20)
        asked = Usage(**{name: getattr(told, name) for name in self.counts})

        async def check(model: Model, server: WireServer) -> None:
            answer = WireAnswer("Hello there.", usage=asked)
            server.play(self.render_whole(answer), self.render_streamed(answer))
            for emit in (None, collect_deltas([])):
                response = await model.respond(make_request("Hi."), emit)
                assert attrs.evolve(response.usage, cost=0.0) == asked

        self.with_server(check)

    def test_keeps_reasoning_apart(self) -> None:
        """Reasoning is in `reasoning` and in its own deltas, never in the text."""
        if not self.has_thoughts:
            return
        answer = WireAnswer("Noon.", THOUGHTS[:1])

        async def check(model: Model, server: WireServer) -> None:
            server.play(self.render_whole(answer), self.render_streamed(answer))
            deltas: list[Delta] = []
            for emit in (None, collect_deltas(deltas)):
                response = await model.respond(make_request("Time?"), emit)
                assert (response.content, response.reasoning) == ("Noon.", THOUGHTS[0].text)
            assert "".join(each.text for each in deltas if isinstance(each, ReasoningDelta)) == THOUGHTS[0].text

        self.with_server(check)

    def test_sends_signatures_back(self) -> None:
        """The next request has all signatures of an answer once, in order; a changed message is sent without them."""
        if not self.has_signatures:
            return
        answer = WireAnswer("Both.", THOUGHTS, CALLS, finish_reason="tool_calls")
        signatures = [thought.signature for thought in THOUGHTS]

        async def check(model: Model, server: WireServer) -> None:
            for emit in (None, collect_deltas([])):
                server.play(self.render_streamed(answer) if emit else self.render_whole(answer))
                response = await model.respond(make_request("Go.", tools=_TOOLS), emit)
                said = make_message(response)
                server.play(self.render_whole(WireAnswer("Done.")))
                await model.respond(_go_on(said))
                assert _find_in_order(server.requests[-1].body, signatures)
                await model.respond(_go_on(attrs.evolve(said, content="Other.")))
                assert not any(each.encode() in server.requests[-1].body for each in signatures)

        self.with_server(check)

    def test_sends_the_conversation(self) -> None:
        """All texts, calls and results of a conversation are in the request, in their order."""

        async def check(model: Model, server: WireServer) -> None:
            server.play(self.render_whole(WireAnswer("Bye.")))
            await model.respond(_go_on(Message("assistant", "I look.", CALLS)))
            sent = server.requests[-1].body
            assert _find_in_order(sent, ["What is up?", "I look.", "result-1", "result-2", "result-3", "Thanks."])
            assert b"You are brief." in sent
            assert all(each.description.encode() in sent for each in _TOOLS)

        self.with_server(check)

    def test_sends_the_tool_choice(self) -> None:
        """The choices `required`, `none` and a tool's name change the request; `auto` is as no choice."""
        if not self.sends_choice:
            return

        async def check(model: Model, server: WireServer) -> None:
            answer = WireAnswer("Well.")
            server.play(self.render_whole(answer))
            sent = []
            for choice in ("auto", "required", "none", "tell_time"):
                await model.respond(make_request("Hi.", tools=_TOOLS, tool_choice=choice))
                sent.append(server.requests[-1].body)
            assert len(set(sent)) == len(sent)

        self.with_server(check)

    def test_sends_the_output_schema(self) -> None:
        """The JSON Schema of the output is in the request, and the JSON answer is the response's text."""
        if not self.sends_schema:
            return
        schema = {
            "type": "object",
            "properties": {"temperature_now": {"type": "integer"}},
            "required": ["temperature_now"],
            "additionalProperties": False,
        }

        async def check(model: Model, server: WireServer) -> None:
            server.play(self.render_whole(WireAnswer('{"temperature_now": 3}')))
            response = await model.respond(make_request("Weather?", output=schema))
            assert json.loads(response.content) == {"temperature_now": 3}
            assert b"temperature_now" in server.requests[-1].body

        self.with_server(check)

    def test_sends_images(self) -> None:
        """A model that accepts images sends their bytes; the texts beside the image stay in order."""
        image = Media("image", "image/png", _PIXEL)

        async def check(model: Model, server: WireServer) -> None:
            media = profile_of(model).media
            if media is not None and not any(each.startswith(("image/", "*/")) for each in media):
                return
            server.play(self.render_whole(WireAnswer("A dot.")))
            await model.respond(ModelRequest((Message("user", ("Before.", image, "After.")),)))
            encoded = base64.b64encode(_PIXEL).decode()
            assert _find_in_order(server.requests[-1].body, ["Before.", encoded, "After."])

        self.with_server(check)

    @pytest.mark.parametrize("count", [1, 12])
    def test_requests_of_a_session_begin_alike(self, count: int) -> None:
        """Each request of a growing conversation is the last one with more at the end, so that a provider's cache hits.

        Marks for the cache do not count; calls, results, tools and settings do.
        """

        async def check(model: Model, server: WireServer) -> None:
            server.play(self.render_whole(WireAnswer("Well.")))
            conversation = [Message("system", "You are brief."), Message("user", "Turn 0.")]
            settings = ModelSettings(temperature=0.0, max_tokens=64)
            for turn in range(1, 5):
                await model.respond(ModelRequest(tuple(conversation), _TOOLS, settings=settings, turn=turn))
                calls = tuple(ToolCall(f"call_{turn}_{at}", "tell_time", '{"z": 1, "a": 2}') for at in range(count))
                conversation.append(Message("assistant", f"Look {turn}.", calls))
                conversation += [
                    Message("tool", f"noon {turn} {at}", (), f"call_{turn}_{at}", "tell_time") for at in range(count)
                ]
            bodies = [self.wire.drop_marks(json.loads(each.body)) for each in server.requests]
            for before, after in itertools.pairwise(bodies):
                assert _is_prefix(before, after), (before, after)

        self.with_server(check)


def make_message(response: ModelResponse) -> Message:
    """Return the message that a run keeps of a response."""
    calls = tuple(response.tool_calls)
    return Message("assistant", response.content, calls, None, None, response.reasoning, response.native)


def _go_on(said: Message) -> ModelRequest:
    """Return the request after `said`, with a result for each call and the user's next words."""
    results = [Message("tool", f"result-{at}", (), call.id, call.name) for at, call in enumerate(said.tool_calls, 1)]
    before = (Message("system", "You are brief."), Message("user", "What is up?"))
    return ModelRequest((*before, said, *results, Message("user", "Thanks.")), _TOOLS)


def _drop_native(response: ModelResponse) -> ModelResponse:
    """Return the response without the provider's own form, which may tell how the answer was sent."""
    return attrs.evolve(response, native=None)


def _find_in_order(body: bytes, texts: Sequence[str]) -> bool:
    """Return whether each of the texts is in the body exactly once, in this order."""
    places = [body.find(text.encode()) for text in texts]
    return places == sorted(places) and all(body.count(text.encode()) == 1 for text in texts)


def _is_prefix(before: Any, after: Any) -> bool:
    """Return whether a request's body is the earlier body with more at the end of its lists."""
    if isinstance(before, dict) and isinstance(after, dict):
        # The order of the keys counts, as the bodies are compared as bytes by the provider.
        return list(before) == list(after) and all(_is_prefix(before[key], after[key]) for key in before)
    if isinstance(before, list) and isinstance(after, list):
        return json.dumps(after[: len(before)]) == json.dumps(before)
    return bool(before == after)
