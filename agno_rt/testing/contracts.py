"""Contract suites: the rules for all plugins of a kind. Subclass one in a test file, override its factory, run pytest.

The tests are synchronous and call `trio.run` themselves, so they need no pytest plugin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from agno_rt.errors import BackendError, SessionConflict
from agno_rt.events import Delta, TextDelta
from agno_rt.memory import MemoryBackend
from agno_rt.messages import Media, Message, ToolCall
from agno_rt.models import Model, ModelRequest, ModelResponse, ModelSettings
from agno_rt.testing._checks import run_check
from agno_rt.testing._ownership import SessionOwnership
from agno_rt.testing._session_lists import SessionLists
from agno_rt.testing.backends.endurance_contracts import EnduranceContract
from agno_rt.testing.backends.event_log_contracts import EventLogContract
from agno_rt.testing.backends.flow_contracts import FlowContract
from agno_rt.testing.backends.grant_contracts import GrantContract
from agno_rt.testing.backends.lease_contracts import LeaseContract
from agno_rt.testing.backends.lock_contracts import LockContract
from agno_rt.testing.backends.migration_contracts import MigrationContract
from agno_rt.testing.backends.run_contracts import RunContract
from agno_rt.testing.backends.signal_contracts import SignalContract
from agno_rt.testing.backends.store_contracts import CacheContract, FactContract
from agno_rt.testing.backends.upkeep_contracts import CopyContract, RetentionContract
from agno_rt.tools import tool

__all__ = [
    "CacheContract",
    "CopyContract",
    "EnduranceContract",
    "EventLogContract",
    "FactContract",
    "FlowContract",
    "GrantContract",
    "LeaseContract",
    "LockContract",
    "MemoryContract",
    "MigrationContract",
    "ModelContract",
    "RetentionContract",
    "RunContract",
    "SignalContract",
]


class ModelContract:
    """Rules for every model. Override `make_model`; set `calls_tools` to False for a model that never calls tools."""

    calls_tools = True

    def make_model(self) -> Model:
        """Make a model that is ready for requests; its `aclose`, if any, is called after each test."""
        raise NotImplementedError("override make_model")

    def test_has_a_name(self) -> None:
        """A model has a name, for logs and errors."""

        async def check(model: Model) -> None:
            assert isinstance(model, Model)
            assert model.name

        self._with_model(check)

    def test_answers_with_text(self) -> None:
        """A plain question gets a response with text, a finish reason and counted tokens."""

        async def check(model: Model) -> None:
            response = await model.respond(_make_request("Say hello."))
            assert isinstance(response, ModelResponse)
            assert response.content
            assert response.finish_reason in ("stop", "length")

        self._with_model(check)

    def test_emits_what_it_answers(self) -> None:
        """The text deltas, joined, are the response's content; no delta has a run id yet."""

        async def check(model: Model) -> None:
            deltas: list[Delta] = []

            async def emit(delta: Delta) -> None:
                assert delta.run_id == ""
                deltas.append(delta)

            response = await model.respond(_make_request("Say hello."), emit)
            assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == response.content

        self._with_model(check)

    def test_reads_a_whole_conversation(self) -> None:
        """System messages, earlier answers, tool calls and results are all accepted."""
        conversation = (
            Message("system", "You are brief."),
            Message("user", "What is the time?"),
            Message("assistant", "", (ToolCall("call_1", "clock", "{}"),)),
            Message("tool", "It is noon.", (), "call_1", "clock"),
            Message("assistant", "It is noon."),
            Message("user", "Thank you. Say goodbye."),
        )

        async def check(model: Model) -> None:
            response = await model.respond(ModelRequest(conversation, settings=ModelSettings(max_tokens=16)))
            assert isinstance(response.content, str)

        self._with_model(check)

    def test_can_be_cancelled(self) -> None:
        """A cancelled request lets `Cancelled` through at once, and the model answers the next request."""

        async def check(model: Model) -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                await model.respond(_make_request("Count to one thousand."))
            assert scope.cancelled_caught
            assert (await model.respond(_make_request("Say hello."))).content

        self._with_model(check)

    def test_calls_a_required_tool(self) -> None:
        """With `tool_choice="required"`, the model calls a given tool with valid arguments."""
        if not self.calls_tools:
            return

        @tool
        def weather(city: str) -> str:
            """Current weather in a city."""
            return f"Sun in {city}"

        async def check(model: Model) -> None:
            request = ModelRequest(
                (Message("user", "What is the weather in Seoul?"),), (weather,), "required", None, ModelSettings(seed=1)
            )
            response = await model.respond(request)
            assert [call.name for call in response.tool_calls] == ["weather"]
            assert set(weather.decode(response.tool_calls[0].arguments)) == {"city"}

        self._with_model(check)

    def _with_model(self, check: Callable[[Model], Awaitable[None]]) -> None:
        run_check(self.make_model, check)


class MemoryContract(SessionOwnership, SessionLists):
    """Rules for every memory backend. Override `make_memory`: each test gets an empty store of its own.

    Each protocol of a backend has its suite. Add `RunContract`, `FactContract` and `CacheContract` for a backend that
    stores runs, facts about users and cached answers:
    `class TestMine(MemoryContract, RunContract, FactContract, CacheContract)`. Override `open_again` for a store that
    outlasts its backend, and `make_faults` for a store that a test can make fail.
    """

    def test_an_unknown_session_is_empty(self) -> None:
        """A session never written to has no messages and version 0."""

        async def check(memory: MemoryBackend) -> None:
            session = await memory.load("nobody")
            assert (session.id, list(session.messages), session.version) == ("nobody", [], 0)

        self._with_memory(check)

    def test_keeps_messages_in_order(self) -> None:
        """Messages come back equal and in order, with tool calls and all kinds of text."""
        first = [Message("user", "héllo\n\0"), Message("assistant", "", (ToolCall("c1", "t", '{"a": 1}'),))]
        second = [Message("tool", "done", (), "c1", "t"), Message("assistant", "bye 👋")]

        async def check(memory: MemoryBackend) -> None:
            version = await memory.append("s", first, version=0, user="ann")
            await memory.append("s", second, version=version, user="ann")
            session = await memory.load("s")
            assert list(session.messages) == first + second
            assert session.user == "ann"

        self._with_memory(check)

    def test_loads_the_last_messages(self) -> None:
        """`last` loads only the newest messages, in order."""

        async def check(memory: MemoryBackend) -> None:
            await memory.append("s", [Message("user", str(at)) for at in range(10)], version=0)
            session = await memory.load("s", 3)
            assert [message.content for message in session.messages] == ["7", "8", "9"]
            assert list((await memory.load("s", 0)).messages) == []
            assert len((await memory.load("s", 99)).messages) == 10

        self._with_memory(check)

    def test_refuses_an_old_version(self) -> None:
        """An append to an old version stores nothing and raises `SessionConflict`."""

        async def check(memory: MemoryBackend) -> None:
            await memory.append("s", [Message("user", "one")], version=0)
            with pytest.raises(SessionConflict, match="'s'"):
                await memory.append("s", [Message("user", "two")], version=0)
            assert [message.content for message in (await memory.load("s")).messages] == ["one"]

        self._with_memory(check)

    def test_a_session_is_not_changed_by_later_appends(self) -> None:
        """A loaded session does not change."""

        async def check(memory: MemoryBackend) -> None:
            version = await memory.append("s", [Message("user", "one")], version=0)
            session = await memory.load("s")
            await memory.append("s", [Message("user", "two")], version=version)
            assert [message.content for message in session.messages] == ["one"]

        self._with_memory(check)

    def test_one_of_two_writers_wins(self) -> None:
        """Of two concurrent appends to one version, one is stored and the other raises `SessionConflict`."""

        async def check(memory: MemoryBackend) -> None:
            conflicts: list[str] = []

            async def write(text: str) -> None:
                try:
                    await memory.append("s", [Message("user", text)], version=0)
                except SessionConflict:
                    conflicts.append(text)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, "a")
                nursery.start_soon(write, "b")
            stored = [message.text for message in (await memory.load("s")).messages]
            assert sorted(stored + conflicts) == ["a", "b"]
            assert len(stored) == 1

        self._with_memory(check)

    def test_lists_and_deletes_sessions(self) -> None:
        """Sessions are listed newest first, for one user if named, and can be deleted once."""

        async def check(memory: MemoryBackend) -> None:
            for name, user in (("a", "ann"), ("b", "bob"), ("c", "ann")):
                await memory.append(name, [Message("user", "x")] * 2, version=0, user=user)
            assert {info.id for info in await memory.sessions()} == {"a", "b", "c"}
            assert {info.id for info in await memory.sessions(user="ann")} == {"a", "c"}
            assert await memory.sessions(user="Ann") == await memory.sessions(user="") == []
            assert [info.messages for info in await memory.sessions(limit=1)] == [2]
            assert (await memory.delete("a"), await memory.delete("a")) == (True, False)
            assert {info.id for info in await memory.sessions()} == {"b", "c"}
            assert (await memory.load("a")).version == 0
            with pytest.raises(SessionConflict):
                await memory.append("a", [Message("user", "x")], version=1)

        self._with_memory(check)

    def test_keeps_every_kind_of_message(self) -> None:
        """Parts, media, reasoning and names come back equal."""
        picture = Media("image", "image/png", bytes(range(256)), None, "a.png")
        kinds = [
            Message("user", ("look:", picture, Media("file", "text/plain", None, "https://example.com/a.txt"))),
            Message("assistant", "", (ToolCall("c1", "t", "no JSON"),), None, None, "let me think"),
            Message("tool", "", (), "c1", "t"),
        ]

        async def check(memory: MemoryBackend) -> None:
            await memory.append("s", kinds, version=0)
            assert list((await memory.load("s")).messages) == kinds

        self._with_memory(check)

    def test_counts_all_messages(self) -> None:
        """`total` is the number of messages of the session, also if fewer are loaded."""

        async def check(memory: MemoryBackend) -> None:
            assert (await memory.load("s")).total == 0
            version = await memory.append("s", [Message("user", "x")] * 3, version=0)
            await memory.append("s", [Message("user", "y")] * 4, version=version)
            assert [(await memory.load("s", last)).total for last in (None, 2, 0)] == [7, 7, 7]

        self._with_memory(check)

    def test_keeps_data_beside_the_messages(self) -> None:
        """Data, which may be any bytes, stay until an append replaces them, and are empty at first."""
        data = bytes(range(256))

        async def check(memory: MemoryBackend) -> None:
            await memory.append("s", [Message("user", "one")], version=0)
            assert (await memory.load("s")).data == b""
            await memory.append("s", [Message("user", "two")], version=1, data=data)
            await memory.append("s", [Message("user", "three")], version=2)
            assert [(await memory.load("s", last)).data for last in (None, 0)] == [data, data]
            await memory.append("s", [], version=3, data=b"")
            assert (await memory.load("s")).data == b""
            await memory.append("new", [], version=0, data=data)
            assert (await memory.load("new")).data == data
            await memory.delete("new")
            assert (await memory.load("new")).data == b""

        self._with_memory(check)

    def test_messages_and_data_are_one_step(self) -> None:
        """A refused append changes neither messages nor data; a stored append counts as one version."""

        async def check(memory: MemoryBackend) -> None:
            assert await memory.append("s", [Message("user", "one")] * 5, version=0, data=b"one") == 1
            with pytest.raises(SessionConflict):
                await memory.append("s", [Message("user", "two")], version=0, data=b"two")
            session = await memory.load("s")
            assert (session.version, session.total, session.data) == (1, 5, b"one")

        self._with_memory(check)

    def test_a_call_that_is_cancelled_first_does_nothing(self) -> None:
        """In a cancelled scope, a write is stored and returns, or raises and stores nothing; the backend works on."""

        async def check(memory: MemoryBackend) -> None:
            written = False
            with trio.CancelScope() as scope:
                scope.cancel()
                await memory.append("s", [Message("user", "x")] * 3, version=0, data=b"x")
                written = True
            session = await memory.load("s")
            assert (session.version, session.total, session.data) == ((1, 3, b"x") if written else (0, 0, b""))
            await memory.append("s", [], version=session.version)

        self._with_memory(check)

    def test_sessions_outlast_the_backend(self) -> None:
        """In a lasting store, sessions are there after a reopening, and go on."""

        async def check(memory: MemoryBackend) -> None:
            await memory.append("s", [Message("user", "one")], version=0, user="ann", data=b"data", agent="a")
            await memory.append("t", [Message("user", "two")], version=0)
            await memory.rename("t", "Called so")

        async def then(memory: MemoryBackend) -> None:
            session = await memory.load("s")
            assert [message.text for message in session.messages] == ["one"]
            assert (session.version, session.user, session.data) == (1, "ann", b"data")
            told = {info.id: (info.title, info.agent) for info in await memory.sessions()}
            assert told == {"s": ("one", "a"), "t": ("Called so", "")}
            assert await memory.append("s", [Message("user", "two")], version=1, user="ann") == 2

        self._with_memory_again(check, then)

    def test_a_store_that_fails(self) -> None:
        """Writes to a failing store raise `BackendError` with a hint; afterwards it works on, with nothing lost."""

        async def check(memory: MemoryBackend) -> None:
            version = await memory.append("s", [Message("user", "0")], version=0)
            for at, fault in enumerate(self.make_faults(), 1):
                with fault, pytest.raises(BackendError) as caught:
                    await memory.append("s", [Message("user", "lost")], version=version)
                assert not isinstance(caught.value, SessionConflict)
                assert caught.value.hint
                version = await memory.append("s", [Message("user", str(at))], version=version)
                told = [message.text for message in (await memory.load("s")).messages]
                assert told == [str(number) for number in range(at + 1)]

        self._with_memory(check)


def _make_request(text: str) -> ModelRequest:
    return ModelRequest((Message("user", text),), settings=ModelSettings(temperature=0.0, max_tokens=16, seed=1))
