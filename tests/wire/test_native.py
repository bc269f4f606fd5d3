"""A provider's own form of an answer: kept with its message everywhere, and given back only while it says the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
import trio

from agno_rt import Agent, MemoryPolicy, Message, ModelResponse, Runtime, ToolCall, tool
from agno_rt.errors import ModelError
from agno_rt.events import Event, ModelEnded
from agno_rt.hooks import Hook
from agno_rt.messages import Native, Usage
from agno_rt.models import Emit, ModelRequest
from agno_rt.testing import ScriptedModel
from agno_rt.wire.native import native_for, seal_native

OURS = "acme"
EVERY_BYTE = bytes(range(256))


@tool
async def read_clock() -> str:
    """Tell the time."""
    return "noon"


def make_answer(text: str = "", *calls: ToolCall, data: bytes = EVERY_BYTE) -> ModelResponse:
    response = ModelResponse(text, calls, "why", Usage(1, 1), native=seal_native(OURS, data, text, calls))
    response.request_id = "req_1"
    return response


def make_call(id: str = "call_a") -> ToolCall:
    return ToolCall(id, "read_clock", "{}")


class _Asked:
    """A model that answers from a list and notes which native data it could read in each request."""

    name = "acme:one"

    def __init__(self, *answers: ModelResponse, provider: str = OURS) -> None:
        self.answers = list(answers)
        self.provider = provider
        self.seen: list[list[bytes]] = []

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        await trio.lowlevel.checkpoint()
        self.seen.append([data for each in request.messages if (data := native_for(each, self.provider)) is not None])
        return self.answers.pop(0)


@asynccontextmanager
async def open_runtime(place: str, folder: Path) -> AsyncIterator[Runtime]:
    url = "memory:" if place == "memory" else f"sqlite:///{folder / 'kept.db'}"
    async with Runtime(memory=url) as runtime:
        yield runtime


@pytest.mark.parametrize(
    "change",
    [
        lambda message: attrs.evolve(message, content="Other."),
        lambda message: attrs.evolve(message, content=("Noon",)),
        lambda message: attrs.evolve(message, tool_calls=()),
        lambda message: attrs.evolve(message, tool_calls=(ToolCall("call_b", "read_clock", "{}"),)),
        lambda message: attrs.evolve(message, tool_calls=(ToolCall("call_a", "read_clock", '{"zone": 1}'),)),
        lambda message: attrs.evolve(message, tool_calls=(*message.tool_calls, make_call("call_c"))),
        lambda message: attrs.evolve(message, native=Native(OURS, EVERY_BYTE)),
        lambda message: attrs.evolve(message, native=None),
    ],
)
def test_a_changed_message_loses_its_native_form(change: Callable[[Message], Message]) -> None:
    """Text, calls, ids and arguments belong to the seal: after any change, the plugin renders the message itself."""
    calls = (make_call(),)
    message = Message("assistant", "Noon", calls, native=seal_native(OURS, EVERY_BYTE, "Noon", calls))
    assert native_for(message, OURS) == EVERY_BYTE
    assert native_for(change(message), OURS) is None


def test_a_name_and_reasoning_are_not_sealed() -> None:
    """The name of a team's member, and shortened reasoning, change nothing that the provider's form says."""
    message = Message("assistant", "Noon", native=seal_native(OURS, b"x", "Noon"))
    assert native_for(attrs.evolve(message, name="Ada", reasoning=""), OURS) == b"x"


def test_texts_do_not_run_into_each_other() -> None:
    """The seal tells where each text ends: moving a letter from the name to the arguments breaks the seal."""
    native = seal_native(OURS, b"x", "", (ToolCall("1", "ab", "c"),))
    moved = Message("assistant", "", (ToolCall("1", "a", "bc"),), native=native)
    assert native_for(moved, OURS) is None


def test_another_provider_gets_nothing() -> None:
    """The data of one provider's plugin are not shown to another's."""
    message = Message("assistant", "Noon", native=seal_native(OURS, b"x", "Noon"))
    assert native_for(message, "other") is None


def test_half_characters_can_be_sealed() -> None:
    """A text with half a character, which no encoder takes, is sealed like others."""
    message = Message("assistant", "\ud800", native=seal_native(OURS, b"x", "\ud800"))
    assert native_for(message, OURS) == b"x"


def test_data_stay_out_of_the_repr() -> None:
    """The repr tells the size alone, for a data field of a megabyte that somebody prints."""
    shown = repr(Message("assistant", "Noon", native=seal_native(OURS, b"secret", "Noon")))
    assert "<6 bytes>" in shown
    assert "secret" not in shown


@pytest.mark.parametrize("place", ["memory", "sqlite"])
async def test_a_session_keeps_native_forms(place: str, tmp_path: Path) -> None:
    """Each request of a session has the native forms of all earlier answers, byte for byte and in order.

    The second run is in another runtime where the store outlasts the first.
    """
    model = _Asked(
        make_answer("", make_call(), data=b"one"), make_answer("Noon.", data=EVERY_BYTE), make_answer("Bye.")
    )
    agent = Agent(model, name="a", tools=[read_clock])
    if place == "memory":
        async with open_runtime(place, tmp_path) as runtime:
            await runtime.run(agent, "Time?", session="s")
            await runtime.run(agent, "Thanks.", session="s")
    else:
        for said in ("Time?", "Thanks."):
            async with open_runtime(place, tmp_path) as runtime:
                await runtime.run(agent, said, session="s")
    assert model.seen == [[], [b"one"], [b"one", EVERY_BYTE]]


@pytest.mark.parametrize("place", ["memory", "sqlite"])
async def test_a_resumed_run_has_native_forms_and_a_fork_too(place: str, tmp_path: Path) -> None:
    """The journal keeps native forms: a run that goes on after a failure, and a fork of it, send them again."""
    failing: Any = ModelError("out of order", provider=OURS)

    class Failing(_Asked):
        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            if len(self.seen) == 1 and not self.failed:
                self.failed = True
                raise failing
            return await super().respond(request, emit)

        failed = False

    model = Failing(make_answer("", make_call(), data=EVERY_BYTE), make_answer("Noon."), make_answer("Noon again."))
    agent = Agent(model, name="a", tools=[read_clock], memory=MemoryPolicy(journal=True))
    async with open_runtime(place, tmp_path) as runtime:
        with pytest.raises(ModelError) as caught:
            await runtime.run(agent, "Time?", session="s")
        run = caught.value.result.run_id
        await runtime.resume(run, agent)
        assert model.seen == [[], [EVERY_BYTE]]
        forked = await runtime.fork(run, 2)
        await runtime.resume(forked, agent)
        assert model.seen == [[], [EVERY_BYTE], [EVERY_BYTE]]


async def test_a_hook_that_changes_the_answer_takes_its_native_form_away(tmp_path: Path) -> None:
    """After a hook changed the text, the next request has no native form of this answer."""

    class Shout(Hook):
        async def after_model(self, context: Any, response: ModelResponse) -> ModelResponse:
            return attrs.evolve(response, content=response.content.upper())

    model = _Asked(make_answer("Noon."), make_answer("Bye."))
    agent = Agent(model, name="a", hooks=[Shout()])
    async with open_runtime("memory", tmp_path) as runtime:
        first = await runtime.run(agent, "Time?", session="s")
        await runtime.run(agent, "Thanks.", session="s")
    assert first.content == "NOON."
    assert model.seen == [[], []]


async def test_trimming_drops_native_forms_with_their_messages(tmp_path: Path) -> None:
    """A policy that shows two messages shows the native form of exactly these."""
    model = _Asked(*(make_answer(f"Answer {at}.", data=b"%d" % at) for at in range(4)))
    agent = Agent(model, name="a", memory=MemoryPolicy(messages=2))
    async with open_runtime("memory", tmp_path) as runtime:
        for at in range(4):
            await runtime.run(agent, f"Question {at}?", session="s")
    assert model.seen == [[], [b"0"], [b"1"], [b"2"]]


async def test_events_tell_the_request_id_and_not_the_native_form() -> None:
    """Events have the id of the request, also of a failed one, and nothing of the native form."""
    seen: list[Event] = []

    async def collect_events(runtime: Runtime, agent: Agent) -> None:
        async with runtime.stream(agent, "Time?") as events:
            async for event in events:
                seen.append(event)  # noqa: PERF401 - an error at the end must not lose the events before

    model = _Asked(attrs.evolve(make_answer("Noon.", data=b"PLANTED"), raw_finish_reason="bored"))
    refused = ModelError("no", provider=OURS).of_request("req_2")
    async with Runtime() as runtime:
        await collect_events(runtime, Agent(model, name="a"))
        with pytest.raises(ModelError):
            await collect_events(runtime, Agent(ScriptedModel([refused]), name="b"))
    ended = [event for event in seen if isinstance(event, ModelEnded)]
    assert [(event.request_id, event.raw_finish_reason) for event in ended] == [("req_1", "bored"), ("req_2", "")]
    assert b"UExBTlRFRA" not in b"".join(map(msgspec.json.encode, seen))


async def test_memory_counts_native_forms() -> None:
    """A native form counts towards the size of a session: it may be much larger than the text."""
    async with Runtime() as runtime:
        native = seal_native(OURS, bytes(3 * 2**20), "x")
        await runtime.memory.append("s", [Message("assistant", "x", native=native)], version=0)
        sizes = [each.in_use for each in runtime.statistics() if each.name.startswith("MiB of sessions")]
    assert sizes == [3]
