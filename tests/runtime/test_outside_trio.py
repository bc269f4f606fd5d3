"""A runtime used outside of trio: every entry says what to do instead."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, AgentPool, Runtime, Toolkit, run
from agno_rt.errors import UsageError
from agno_rt.memory import MemoryPolicy
from agno_rt.testing import ScriptedModel

AGENT = Agent(ScriptedModel(lambda request: "x"), "bot", memory=MemoryPolicy(journal=True))


KIT = Toolkit("kit", open=contextlib.AsyncExitStack)  # type: ignore[arg-type]  # it is never opened


async def enter(manager: AbstractAsyncContextManager[object]) -> None:
    """Open and close the manager."""
    async with manager:
        pass


WAYS: dict[str, Callable[[Runtime], Awaitable[Any]]] = {
    "run": lambda rt: rt.run(AGENT, "x"),
    "run without a journal": lambda rt: rt.run(Agent(AGENT.model), "x"),
    "run with a toolkit to open": lambda rt: rt.run(Agent(AGENT.model, tools=[KIT]), "x"),
    "open_tools": lambda rt: rt.open_tools(Agent(AGENT.model, tools=[KIT])),
    "start": lambda rt: rt.start(AGENT, "x"),
    "stream": lambda rt: enter(rt.stream(AGENT, "x")),
    "resume": lambda rt: rt.resume("r"),
    "resume with its agent": lambda rt: rt.resume("r", AGENT),
    "fork": lambda rt: rt.fork("r"),
    "cancel": lambda rt: rt.cancel("r"),
    "approve": lambda rt: rt.approve("r.1"),
    "deny": lambda rt: rt.deny("r.1"),
    "answer": lambda rt: rt.answer("r.1", 1),
}


def by_asyncio(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run the coroutine under asyncio."""
    asyncio.run(coroutine)


def by_hand(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run the coroutine without an event loop."""
    with contextlib.suppress(StopIteration):
        coroutine.send(None)
    coroutine.close()


def check(error: UsageError) -> None:
    """Check that the error names the mistake and the remedies."""
    assert "outside of trio" in error.message
    for word in ("AsyncioRuntime", "trio.run", "agno_rt.run"):
        assert word in error.hint


under = pytest.mark.parametrize("carry_out", [by_asyncio, by_hand])


@under
def test_opening(carry_out: Callable[[Coroutine[Any, Any, Any]], None]) -> None:
    """A runtime or a pool cannot be opened outside of trio."""
    for manager in (Runtime(), AgentPool(1, lambda: AGENT)):
        with pytest.raises(UsageError) as caught:
            carry_out(enter(manager))
        check(caught.value)


@under
@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_open(carry_out: Callable[[Coroutine[Any, Any, Any]], None], way: str) -> None:
    """A closed runtime used outside of trio gives the same error, without advice to open."""

    async def ask() -> None:
        await WAYS[way](Runtime())

    with pytest.raises(UsageError) as caught:
        carry_out(ask())
    check(caught.value)


@under
@pytest.mark.parametrize("way", WAYS)
async def test_what_is_open_elsewhere(carry_out: Callable[[Coroutine[Any, Any, Any]], None], way: str) -> None:
    """A runtime open in trio's thread cannot be used in another thread, and goes on."""
    async with Runtime() as rt:

        async def ask() -> None:
            await WAYS[way](rt)

        with pytest.raises(UsageError) as caught:
            await trio.to_thread.run_sync(carry_out, ask())
        check(caught.value)
        assert (await rt.run(AGENT, "x")).content == "x"


def test_what_is_under_way() -> None:
    """The task tree cannot be read outside of trio."""
    with pytest.raises(UsageError) as caught:
        Runtime().tasks()
    check(caught.value)


async def run_in_a_loop() -> str:
    """Run an agent from synchronous code within a coroutine."""
    return run(AGENT, "x").content


def test_run_in_an_asyncio_loop_warns() -> None:
    """A run in an asyncio loop works with a warning: the loop blocks, and `AsyncioRuntime` would not."""
    with pytest.warns(ResourceWarning, match=r"blocks the asyncio loop .*AsyncioRuntime") as told:
        assert asyncio.run(run_in_a_loop()) == "x"

    assert [Path(warning.filename).name for warning in told] == ["test_outside_trio.py"]


def test_run_in_a_notebook_does_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in a notebook does not warn, because the loop waits for each cell anyway."""
    monkeypatch.setattr(builtins, "get_ipython", lambda: None, raising=False)

    assert asyncio.run(run_in_a_loop()) == "x"


def test_run_beside_an_asyncio_loop_does_not_warn() -> None:
    """A run in a thread beside the loop does not warn: only the thread is blocked."""

    async def main() -> str:
        return (await asyncio.to_thread(run, AGENT, "x")).content

    assert asyncio.run(main()) == "x"
