"""Sessions in runs: the history shown, the order of steps, and the time of storing."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Limits, Message, ModelRequest, Runtime, ToolCall, tool
from agno_rt.context import RunContext, State
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import BackendError, Blocked, DeadlineExceeded, UsageError
from agno_rt.hooks import Hook
from agno_rt.memory import Fact, MemoryBackend, MemoryPolicy, Session, Summary, UserMemory
from agno_rt.messages import Media
from agno_rt.testing import ScriptedModel, Step
from tests.helpers import echo


@attrs.define
class Count:
    """A session's state."""

    runs: int = 0


def shown(request: ModelRequest) -> list[str]:
    """Return the texts before the input, or the names of called tools."""
    return [
        message.text or "+".join(call.name for call in message.tool_calls)
        for message in request.messages[:-1]
        if message.role != "system"
    ]


async def after(history: Sequence[Message], policy: MemoryPolicy, memory: MemoryBackend | None = None) -> list[str]:
    """Return the history shown to a run."""
    memory = memory or InProcessMemory()
    await memory.append("s", history, version=0)
    with ScriptedModel(["ok"]) as model:
        async with Runtime(memory=memory) as rt:
            await rt.run(Agent(model, memory=policy), "now", session="s")
    await memory.aclose()
    return shown(model.requests[0])


HISTORY = [
    Message("user", "one"),
    Message("assistant", "1"),
    Message("user", "two"),
    Message("assistant", "", (ToolCall("c1", "echo"), ToolCall("c2", "look"))),
    Message("tool", "r1", (), "c1", "echo"),
    Message("tool", "r2", (), "c2", "look"),
    Message("assistant", "2"),
    Message("user", "three"),
    Message("assistant", "3"),
]

TEXTS = ["one", "1", "two", "echo+look", "r1", "r2", "2", "three", "3"]


class TestSystemMessages:
    """System messages in a run's input."""

    @pytest.mark.parametrize("store", ["memory", "sqlite"])
    @pytest.mark.parametrize("policy", [MemoryPolicy(), MemoryPolicy(runs=5), MemoryPolicy(journal=True)])
    async def test_hold_for_their_run(self, store: str, policy: MemoryPolicy, tmp_path: Path) -> None:
        """System messages follow the instructions, in one message, and are not stored."""
        inputs = [
            [Message("system", "One word."), Message("user", "One?")],
            [Message("user", "Two?"), Message("system", "Two words."), Message("system", "In French.")],
            [Message("user", "Three?")],
        ]
        spec = "memory:" if store == "memory" else f"sqlite:///{tmp_path / 'a.db'}"

        with ScriptedModel(["1", "2", "3"]) as model:
            async with Runtime(memory=spec) as rt:
                for said in inputs:
                    await rt.run(Agent(model, instructions="Be kind.", memory=policy), said, session="s")
                kept = (await rt.memory.load("s")).messages

        asked = [[(message.role, message.text) for message in request.messages] for request in model.requests]
        assert [messages[0] for messages in asked] == [
            ("system", "Be kind.\n\nOne word."),
            ("system", "Be kind.\n\nTwo words.\n\nIn French."),
            ("system", "Be kind."),
        ]
        assert [role for role, _ in asked[2][1:]] == ["user", "assistant", "user", "assistant", "user"]
        assert [message.text for message in kept] == ["One?", "1", "Two?", "2", "Three?", "3"]


class TestHistory:
    """Policies for the history, with both backends."""

    @pytest.mark.parametrize("store", ["memory", "sqlite"])
    @pytest.mark.parametrize(
        ("policy", "expected"),
        [
            (MemoryPolicy(), TEXTS),
            (MemoryPolicy(None), TEXTS),
            (MemoryPolicy(0), []),
            (MemoryPolicy(2), TEXTS[7:]),
            (MemoryPolicy(6), TEXTS[7:]),
            (MemoryPolicy(7), TEXTS[2:]),
            (MemoryPolicy(runs=2), TEXTS[2:]),
            (MemoryPolicy(None, runs=1), TEXTS[7:]),
            (MemoryPolicy(None, runs=0), []),
            (MemoryPolicy(2, runs=2), TEXTS[7:]),
            (MemoryPolicy(None, tokens=7, count=lambda message: 1), TEXTS[2:]),
            (MemoryPolicy(None, tokens=6, count=lambda message: 1), TEXTS[7:]),
            (MemoryPolicy(None, tokens=1, count=lambda message: 1), ["3"]),
            (MemoryPolicy(None, tokens=0), []),
            (MemoryPolicy(tokens=1_000), TEXTS),
            (MemoryPolicy(state=Count, runs=2), TEXTS[2:]),
            (MemoryPolicy(2, state=Count), TEXTS[7:]),
        ],
    )
    async def test_what_is_shown(self, policy: MemoryPolicy, expected: list[str], store: str, tmp_path: Path) -> None:
        """The history is the last messages, runs or tokens by the narrowest bound; a call stays with its results."""
        memory = InProcessMemory() if store == "memory" else SQLiteMemory(tmp_path / "a.db")

        assert await after(HISTORY, policy, memory) == expected

    async def test_media_cost_what_they_are_taken_to(self) -> None:
        """A picture in the history counts against the budget of tokens."""
        picture = Media("image", "image/png", b"x")
        history = [Message("user", ("look", picture)), Message("assistant", "a cat")]

        assert await after(history, MemoryPolicy(tokens=900)) == ["a cat"]
        assert await after(history, MemoryPolicy(tokens=1_100)) == ["look", "a cat"]

    async def test_a_summary_is_kept(self) -> None:
        """A summary is shown to its run, stored with the session, and shown to the next run."""
        memory = InProcessMemory()
        await memory.append("s", HISTORY, version=0)
        with ScriptedModel(["all of it", "ok", "ok"]) as model:
            agent = Agent(model, memory=MemoryPolicy(4, summary=Summary()))
            async with Runtime(memory=memory) as rt:
                await rt.run(agent, "now", session="s")
                stored = await memory.load("s")
                await rt.run(agent, "again", session="s")
        _, first, second = model.requests

        assert b"all of it" in stored.data
        assert ["all of it" in request.messages[0].text for request in (first, second)] == [True, True]
        assert shown(second) == [*shown(first), "now", "ok"]

    async def test_a_session_is_shared_by_agents(self) -> None:
        """Two agents on one session each see the history by their own policy."""
        with ScriptedModel(["1", "2", "3", "4"]) as model:
            async with Runtime() as rt:
                wide, narrow = Agent(model), Agent(model, memory=MemoryPolicy(runs=1))
                for agent, text in ((wide, "a"), (narrow, "b"), (narrow, "c"), (wide, "d")):
                    await rt.run(agent, text, session="s")

        assert [shown(request) for request in model.requests] == [
            [],
            ["a", "1"],
            ["b", "2"],
            ["a", "1", "b", "2", "c", "3"],
        ]

    async def test_a_count_that_fails(self) -> None:
        """An error of the caller's `count` is the cause of the run's error, and nothing is stored."""

        def count(message: Message) -> int:
            raise ZeroDivisionError("count")

        memory = InProcessMemory()
        with pytest.raises(UsageError, match="ZeroDivisionError: count") as caught:
            await after(HISTORY, MemoryPolicy(tokens=5, count=count), memory)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert (await memory.load("s")).version == 1


class Noting(InProcessMemory):
    """A backend that logs its calls."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes

    async def load(self, session: str, last: int | None = None) -> Session:
        """Log and load."""
        self.notes.append("load")
        return await super().load(session, last)

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """Log the query and search."""
        self.notes.append(f"facts {query}")
        return await super().facts(user, query=query, limit=limit)

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Log the size and append."""
        self.notes.append(f"append {len(messages)}{'' if data is None else ' and data'}")
        return await super().append(session, messages, version=version, user=user, data=data, agent=agent)


class Stepping(Hook):
    """A hook that logs the state before the run, and changes the input."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    async def before_run(self, context: RunContext, input: tuple[Message, ...]) -> tuple[Message, ...]:
        """Log and change."""
        self.notes.append(f"before_run {context.state}")
        context.state.runs += 1
        return (Message("user", "changed"),)


@tool(inline=True)
def look(state: State[Count], context: RunContext) -> str:
    """Look at the state."""
    return f"{state.runs} in {context.session}"


class TestOrder:
    """The order of steps."""

    async def test_the_whole_order(self) -> None:
        """A run loads, calls hooks, instructions and facts for the changed input, takes turns, and appends once."""
        notes: list[str] = []

        def instructions(context: RunContext) -> str:
            notes.append(f"instructions {context.state} {context.input[0].text}")
            return "Be brief."

        def answer(request: ModelRequest) -> ToolCall | str:
            notes.append(f"turn {request.turn}")
            return ToolCall("c", "look") if request.turn == 1 else "ok"

        policy = MemoryPolicy(state=Count, facts=UserMemory("relevant"))
        agent: Any = Agent(ScriptedModel([answer, answer]), "a", "", [look], memory=policy, hooks=[Stepping(notes)])
        agent.instructions = instructions
        async with Runtime(memory=Noting(notes)) as rt:
            result = await rt.run(agent, "asked", session="s", user="ann")

        assert notes == [
            "load",
            "before_run Count(runs=0)",
            "instructions Count(runs=1) changed",
            "facts changed",
            "turn 1",
            "turn 2",
            "append 4 and data",
        ]
        assert [message.text for message in result.messages] == ["changed", "", "1 in s", "ok"]
        assert result.state == Count(1)

    async def test_data_are_written_when_they_change(self) -> None:
        """A run without a change of the state writes only messages."""
        notes: list[str] = []
        async with Runtime(memory=Noting(notes)) as rt:
            for _ in range(2):
                await rt.run(Agent(ScriptedModel(["ok"]), memory=MemoryPolicy(state=Count)), "hi", session="s")

        assert notes == ["load", "append 2 and data", "load", "append 2"]

    async def test_a_run_without_a_session_goes_the_same_way(self) -> None:
        """A run without a session has hooks, state, instructions and facts, but loads and stores nothing."""
        notes: list[str] = []
        with ScriptedModel([ToolCall("c", "look"), "ok"]) as model:
            policy = MemoryPolicy(state=Count, facts=UserMemory())
            agent = Agent(model, "a", "Be brief.", [look], memory=policy, hooks=[Stepping(notes)])
            async with Runtime(memory=(memory := Noting(notes))) as rt:
                await memory.remember("ann", "Ann drinks tea.")
                result = await rt.run(agent, "asked", user="ann")

        assert notes == ["before_run Count(runs=0)", "facts None"]
        assert result.state == Count(1)
        assert result.messages[2].text == "1 in None"
        assert "Ann drinks tea." in model.requests[0].messages[0].text

    async def test_a_hook_that_refuses(self) -> None:
        """A blocked input leaves the session unchanged and free."""

        class Refusing(Hook):
            async def before_run(self, context: RunContext, input: tuple[Message, ...]) -> None:
                raise Blocked("no", guard="me")

        async with Runtime() as rt:
            with pytest.raises(Blocked):
                await rt.run(Agent(ScriptedModel([]), hooks=[Refusing()]), "hi", session="s")
            assert (await rt.memory.load("s")).version == 0
            await rt.run(Agent(ScriptedModel(["ok"])), "hi", session="s")


ALL = MemoryPolicy(2, state=Count, facts=UserMemory(), summary=Summary())


class TestLock:
    """Runs in order on one session."""

    @pytest.mark.parametrize("policy", [MemoryPolicy(), ALL])
    async def test_what_waits_for_the_session_has_a_limit(self, policy: MemoryPolicy, autojump_clock: Any) -> None:
        """A run that waits too long for the session gets an error with the limit's name, and the session goes on."""

        async def slow(_: object) -> str:
            await trio.sleep(10)
            return "slow"

        async with Runtime() as rt:
            first = await rt.start(Agent(ScriptedModel([slow]), memory=policy), "a", session="s", user="u")
            await trio.testing.wait_all_tasks_blocked()
            hasty = Agent(ScriptedModel([]), memory=policy, limits=Limits(queue_timeout=1))
            with pytest.raises(DeadlineExceeded, match="session 's'") as caught:
                await rt.run(hasty, "b", session="s", user="u")
            await first.wait()
            last = await rt.run(Agent(ScriptedModel(["ok"]), memory=policy), "c", session="s", user="u")
            stored = await rt.memory.load("s")

        assert caught.value.limit == "queue_timeout"
        assert last.content == "ok"
        assert [message.text for message in stored.messages] == ["a", "slow", "c", "ok"]

    @pytest.mark.parametrize("policy", [MemoryPolicy(), ALL])
    async def test_a_cancelled_run_leaves_nothing(self, policy: MemoryPolicy) -> None:
        """A run cancelled between turns stores nothing, and the next run gets the session."""

        async def stuck(_: object) -> str:
            await trio.sleep_forever()
            return ""

        async with Runtime() as rt:
            steps: list[Step] = [ToolCall("c", "echo", '{"text": "x"}'), stuck]
            run = await rt.start(Agent(ScriptedModel(steps), tools=[echo], memory=policy), "a", session="s", user="u")
            await trio.testing.wait_all_tasks_blocked()
            run.cancel()
            assert (await run.wait()).status == "cancelled"
            await rt.run(Agent(ScriptedModel(["ok"]), memory=policy), "b", session="s", user="u")
            stored = await rt.memory.load("s")

        assert [message.text for message in stored.messages] == ["b", "ok"]

    @pytest.mark.parametrize("policy", [MemoryPolicy(), ALL])
    async def test_many_users_and_sessions_at_once(self, policy: MemoryPolicy) -> None:
        """Each of many concurrent conversations of one agent has only its own messages."""

        async def answer(request: ModelRequest) -> str:
            await trio.lowlevel.checkpoint()
            return f"to {request.messages[-1].text}"

        agent = Agent(ScriptedModel(answer), memory=policy)
        async with Runtime() as rt:
            async with trio.open_nursery() as nursery:
                for user in range(8):
                    for text in range(4):
                        ask = functools.partial(rt.run, agent, f"u{user}", session=f"s{user}", user=f"u{user}")
                        nursery.start_soon(ask, name=f"{user} {text}")
            sessions = [await rt.memory.load(f"s{user}") for user in range(8)]

        for user, session in enumerate(sessions):
            assert [message.text for message in session.messages] == [f"u{user}", f"to u{user}"] * 4
            assert session.user == f"u{user}"


class TestBackends:
    """Faulty backends."""

    @pytest.mark.parametrize("policy", [MemoryPolicy(), ALL])
    async def test_a_backend_that_fails(self, policy: MemoryPolicy) -> None:
        """An exception of a backend becomes a `BackendError` with the session's name."""

        class Failing(InProcessMemory):
            broken = "load"

            async def load(self, session: str, last: int | None = None) -> Session:
                if self.broken == "load":
                    raise OSError("disk")
                return await super().load(session, last)

            async def append(self, session: str, messages: Sequence[Message], **more: Any) -> int:
                raise OSError("disk")

        memory = Failing()
        async with Runtime(memory=memory) as rt:
            with pytest.raises(BackendError, match="session 's': OSError: disk"):
                await rt.run(Agent(ScriptedModel([]), memory=policy), "hi", session="s", user="u")
            memory.broken = "append"
            with pytest.raises(BackendError, match="session 's': OSError: disk") as caught:
                await rt.run(Agent(ScriptedModel(["ok"]), memory=policy), "hi", session="s", user="u")

        assert caught.value.result.content == "ok"


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": -1},
        {"runs": 1.5},
        {"tokens": "3"},
        {"runs": True},
        {"count": 5},
        {"state": 5},
    ],
)
def test_policies_that_make_no_sense(wrong: dict[str, Any]) -> None:
    """An invalid policy is refused with the field's name."""
    with pytest.raises(UsageError, match=str(next(iter(wrong)))):
        MemoryPolicy(**wrong)
