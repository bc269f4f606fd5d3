"""Runs on one session under a thousand schedules: no message is lost, mixed up or halved."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import attrs
import trio

from agno_rt import Agent, Message, ModelRequest, Runtime, ToolCall, tool
from agno_rt.context import State
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import Forbidden, SessionConflict
from agno_rt.memory import MemoryPolicy, Summary
from agno_rt.testing import Pauses, ScriptedModel, pause, run_schedules

SCHEDULES = 1_000


@attrs.define
class Log:
    """A session's state: a list of finished work."""

    done: list[str] = attrs.Factory(list)


@tool
async def work(word: str, log: State[Log]) -> str:
    """Read the state, yield, and write: a race between unordered runs."""
    before = list(log.done)
    await pause()
    log.done[:] = [*before, word]
    return f"worked on {word}"


@tool
async def look(word: str) -> str:
    """Yield for a while."""
    await pause()
    return f"looked at {word}"


def answer(request: ModelRequest) -> str | list[ToolCall]:
    """Return two calls at once, then an answer to the question; or a summary on request."""
    if request.turn == 0:
        return "the summary"
    word = next(message.text for message in reversed(request.messages) if message.role == "user")
    if request.messages[-1].role == "tool":
        return f"answer to {word}"
    return [ToolCall(f"{name} {word}", name, f'{{"word": "{word}"}}') for name in ("work", "look")]


def of_run(word: str) -> list[tuple[str, str]]:
    """Return roles and texts of the run with the question."""
    return [
        ("user", word),
        ("assistant", f"work {word}, look {word}"),
        ("tool", f"worked on {word}"),
        ("tool", f"looked at {word}"),
        ("assistant", f"answer to {word}"),
    ]


def order_of(messages: Sequence[Message]) -> list[str]:
    """Return the questions in order. Check that each run's messages are together and whole."""
    texts = [(message.role, message.text or ", ".join(call.id for call in message.tool_calls)) for message in messages]
    order = [texts[at][1] for at in range(0, len(texts), 5)]
    assert texts == [message for word in order for message in of_run(word)]
    return order


def test_two_runs_on_one_session() -> None:
    """Both runs are stored whole in sequence, in any schedule, and the second sees the first."""
    orders = set()

    async def scenario() -> None:
        pauses, memory = Pauses(), InProcessMemory()
        model = ScriptedModel(answer)
        policy = MemoryPolicy(state=Log)
        agent = Agent(pauses.model(model), "a", "", [work, pauses.tool(look)], memory=policy)
        async with Runtime(memory=pauses.memory(memory)) as rt:
            async with trio.open_nursery() as nursery:
                for word in ("first", "second"):
                    nursery.start_soon(functools.partial(rt.run, agent, word, session="s"))
            result = await rt.run(agent, "last", session="s")
        stored = await memory.load("s")
        order = order_of(stored.messages)
        assert sorted(order[:2]) == ["first", "second"]
        assert result.state == Log(order)
        assert stored.version == 3
        assert sorted(len(request.messages) for request in model.requests) == [1, 4, 6, 9, 11, 14]
        orders.add(tuple(order))

    assert run_schedules(scenario, SCHEDULES) == SCHEDULES
    assert len(orders) == 2, "the schedules never put the runs in the other order"


def test_with_a_summary_and_a_run_that_is_cancelled() -> None:
    """Two of three runs are stored whole, and the cancelled third whole or not at all."""
    ends = set()

    async def scenario() -> None:
        pauses, memory = Pauses(), InProcessMemory()
        policy = MemoryPolicy(4, state=Log, summary=Summary())
        agent = Agent(pauses.model(ScriptedModel(answer)), "a", "", [work, look], memory=policy)
        async with Runtime(memory=pauses.memory(memory)) as rt:
            runs = [await rt.start(agent, word, session="s") for word in ("one", "two", "three")]
            for _ in range(5):
                await pause()
            runs[1].cancel()
            results = [await run.wait() for run in runs]
        stored = await memory.load("s")
        there = order_of(stored.messages)
        # The backend yields after writing, and a cancellation may come then.
        assert sorted(there) in (["one", "three", "two"], ["one", "three"])
        assert "two" in there or results[1].status == "cancelled"
        assert stored.version == len(there)
        ends.add((results[1].status, len(there)))

    assert run_schedules(scenario, SCHEDULES) == SCHEDULES
    assert {("completed", 3), ("cancelled", 2)} <= ends


def test_two_processes() -> None:
    """Two runtimes on one backend know nothing of each other's locks: one run is stored, the other refused."""

    async def scenario() -> None:
        pauses, memory = Pauses(), InProcessMemory()
        shared = pauses.memory(memory)
        agent = Agent(pauses.model(ScriptedModel(answer)), "a", "", [work, look], memory=MemoryPolicy(state=Log))
        stored, told = list[str](), list[str]()

        async def process(word: str) -> None:
            async with Runtime(memory=shared) as rt:
                try:
                    result = await rt.run(agent, word, session="s")
                except SessionConflict as exc:
                    told.append(exc.result.messages[0].text)
                else:
                    assert result.state.done[-1] == word
                    stored.append(word)

        async with trio.open_nursery() as nursery:
            for word in ("mine", "yours"):
                nursery.start_soon(process, word)
        session = await memory.load("s")
        assert order_of(session.messages) == stored
        assert sorted(stored + told) == ["mine", "yours"]
        assert session.version == len(stored)

    assert run_schedules(scenario, SCHEDULES) == SCHEDULES


def test_two_users_begin_one_session_that_is_deleted_meanwhile() -> None:
    """A session never has or shows messages of another user, with two runtimes and a deletion in between."""
    seen = set[str | None]()

    async def scenario() -> None:
        pauses, memory = Pauses(), InProcessMemory()
        shared = pauses.memory(memory)
        ended = dict[str, str]()

        async def process(user: str) -> None:
            model = ScriptedModel(lambda request: f"answer to {user}")
            agent = Agent(pauses.model(model), "a", memory=MemoryPolicy(state=Log))
            async with Runtime(memory=shared) as rt:
                for number in (1, 2):
                    try:
                        await rt.run(agent, f"{user} {number}", session="s", user=user)
                    except (Forbidden, SessionConflict) as exc:
                        ended[f"{user} {number}"] = exc.code
            texts = [message.text for request in model.requests for message in request.messages]
            assert all(user in text for text in texts)

        async def delete() -> None:
            for _ in range(3):
                await pause()
            await memory.delete("s")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(process, "ann")
            nursery.start_soon(process, "bob")
            nursery.start_soon(delete)
        session = await memory.load("s")
        assert all(str(session.user) in message.text for message in session.messages)
        seen.update(ended.values())
        seen.add(session.user)

    assert run_schedules(scenario, SCHEDULES) == SCHEDULES
    assert seen >= {"ann", "bob", "forbidden", "session_conflict"}
