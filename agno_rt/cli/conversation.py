"""A runtime that is open in a thread of its own, asked from the main thread.

The main thread belongs to the terminal: only there can a line be read with editing and history, and only there does
Ctrl-C arrive. Reading a line there never holds up trio, and a signal never strikes in the middle of a trio task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import attrs
import msgspec
import trio

from agno_rt._decide.input import Input
from agno_rt.agent import Agent
from agno_rt.cli.display import Display
from agno_rt.cli.interrupts import on_interrupt
from agno_rt.cli.keeping import may_be_stored
from agno_rt.cli.session_edits import append_interrupted, drop_last_exchange, interrupted_messages
from agno_rt.cli.terminal import held_keys, restore_settings
from agno_rt.errors import BackendError, NotFound, UsageError
from agno_rt.memory import SessionInfo, foreign_session
from agno_rt.messages import Message
from agno_rt.project import Project
from agno_rt.readiness import Finding, check_ready
from agno_rt.run_store import Approval, Decision, Resume, RunStore
from agno_rt.runs import RunResult
from agno_rt.runtime import Runtime
from agno_rt.tools import Tool

__all__ = ["Conversation", "decide", "open_conversation"]

T = TypeVar("T")

SESSIONS = 10_000
"""How many sessions are looked through for the ones of an agent."""


@attrs.define
class Conversation:
    """Asks an agent in a runtime that is open elsewhere. Every method waits for its answer.

    What is in the runtime's memory `lasts` beyond this process, or does not.
    """

    agent: Agent
    runtime: Runtime
    token: trio.lowlevel.TrioToken
    user: str | None = None
    lasts: bool = True

    def ask(self, input: Input, session: str | None, display: Display) -> RunResult:
        """Ask the agent and show the run as it happens. Ctrl-C cancels the run: its result is then `cancelled`.

        With a `Resume` for input it goes on with a stored run. Raises the error of a run that ended without an answer.
        """
        scope = trio.CancelScope()
        stop = partial(self.token.run_sync_soon, scope.cancel)
        with held_keys(), on_interrupt(stop, restore_settings), display:
            return self._call(partial(self._ask, input, session, display, scope))

    def check(self, agent: Agent | None = None) -> None:
        """Raise what would keep the agent, or another one, from running."""

        async def check() -> None:
            self.runtime.check(self.agent if agent is None else agent)

        self._call(check)

    def findings(self) -> list[Finding]:
        """What would keep the agent from answering, and what is good to know before it does."""
        return self._call(partial(check_ready, self.runtime, self.agent, memory=False, toolkits=True))

    def decide(self, approval: Approval, decision: Decision) -> None:
        """Decide what a paused run waits for. Raises `UsageError` for what does not fit, or is decided already."""
        self._call(partial(decide, self.runtime, approval.id, decision))

    def is_stored(self, run: str) -> bool:
        """Whether the run can be gone on with later."""

        async def look() -> bool:
            memory = self.runtime.memory
            try:
                return isinstance(memory, RunStore) and bool(await memory.load_run(run))
            except (NotFound, BackendError):
                return False

        return may_be_stored(self.agent) and self._call(look)

    def messages(self, session: str) -> Sequence[Message]:
        """What was said in the session so far. Raises `Forbidden` for another user's."""

        async def load() -> Sequence[Message]:
            found = await self.runtime.memory.load(session)
            if found.version and found.user != self.user:
                raise foreign_session(session, found.user, self.user)
            return found.messages

        return self._call(load)

    def sessions(self) -> list[SessionInfo]:
        """The sessions that were last written to, newest first."""
        return self._call(partial(self.runtime.memory.sessions, limit=SESSIONS))

    def own_sessions(self) -> list[SessionInfo]:
        """The sessions of the user, or those of nobody, newest first."""
        load = partial(self.runtime.memory.sessions, user=self.user, unowned=self.user is None, limit=SESSIONS)
        return self._call(load)

    def info(self, session: str) -> SessionInfo | None:
        """What a list says of the session; `None` for one that nothing was written to."""
        return self._call(partial(self.runtime.memory.session_info, session))

    def rename(self, session: str, title: str) -> bool:
        """Give the session a title; whether there is such a session."""
        return self._call(partial(self.runtime.memory.rename, session, title))

    def keep_interrupted(self, session: str, result: RunResult, said: str) -> int:
        """Store what there is of a run that was stopped, and what it `said` last; how many messages that are."""
        messages = interrupted_messages(result.messages, said)
        if messages:
            append = partial(append_interrupted, self.runtime.memory, session, messages)
            self._call(partial(append, user=self.user, agent=self.agent.name))
        return len(messages)

    def drop_last(self, session: str, count: int | None) -> tuple[Message, ...]:
        """Take the last exchange, or so many messages, off the session, and return it. Raises `UsageError`."""
        return self._call(partial(drop_last_exchange, self.runtime.memory, session, self.user, count))

    def tools(self) -> list[Tool]:
        """The agent's tools, those of plugins and toolkits among them."""
        return list(self._call(partial(self.runtime.open_tools, self.agent)).values())

    async def _ask(self, input: Input, session: str | None, display: Display, scope: trio.CancelScope) -> RunResult:
        # A stored run has a session and a user of its own.
        user = None if isinstance(input, Resume) else self.user
        async with self.runtime.stream(self.agent, input, session=session, user=user) as events:
            with scope:
                async for event in events:
                    display.show(event)
        # Leaving the stream early has cancelled the run and waited for its end, so there is a result either way.
        assert events.result is not None
        return events.result

    def _call(self, function: Callable[[], Awaitable[T]]) -> T:
        return trio.from_thread.run(function, trio_token=self.token)


async def decide(runtime: Runtime, approval: str, decision: Decision, user: str | None = None) -> Approval:
    """Decide an approval, once. Raises `UsageError`, and `ApprovalConflict` for one that is decided or expired."""
    try:
        given = None if decision.arguments is None else msgspec.json.decode(decision.arguments)
    except msgspec.MsgspecError as exc:
        raise UsageError(f"{decision.arguments!r} is no JSON: {exc}", hint='As in {"city": "Seoul"}.') from exc
    match decision.status:
        case "approved":
            return await runtime.approve(approval, given, user=user, by=decision.by)
        case "denied":
            return await runtime.deny(approval, decision.reason, user=user, by=decision.by)
        case "answered":
            return await runtime.answer(approval, given, user=user, by=decision.by)


@contextmanager
def open_conversation(project: Project, agent: Agent, user: str | None = None) -> Iterator[Conversation]:
    """Open the project's runtime in another thread; leaving the block closes it. Raises what opening it raises."""
    opened: Future[tuple[Runtime, trio.lowlevel.TrioToken, trio.Event]] = Future()
    with ThreadPoolExecutor(1, thread_name_prefix="agno-rt") as pool:
        ended = pool.submit(trio.run, _hold_open, project, opened)
        ended.add_done_callback(lambda ended: _pass_on(ended, opened))
        runtime, token, closing = opened.result()
        try:
            yield Conversation(agent, runtime, token, user, project.config.runtime.memory != "memory:")
        finally:
            token.run_sync_soon(closing.set)
            ended.result()


async def _hold_open(project: Project, opened: Future[tuple[Runtime, trio.lowlevel.TrioToken, trio.Event]]) -> None:
    closing = trio.Event()
    async with project.runtime() as runtime:
        opened.set_result((runtime, trio.lowlevel.current_trio_token(), closing))
        await closing.wait()


def _pass_on(ended: Future[None], opened: Future[tuple[Runtime, trio.lowlevel.TrioToken, trio.Event]]) -> None:
    error = ended.exception()
    if error is not None and not opened.done():
        opened.set_exception(error)
