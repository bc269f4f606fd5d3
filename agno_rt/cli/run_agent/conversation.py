"""A runtime in a thread of its own, called from the main thread.

The main thread belongs to the terminal: line editing, history and Ctrl-C work only in this thread. Reading a line never
blocks trio, and a signal never interrupts a trio task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import msgspec
import trio

from agno_rt._decide.input import Input
from agno_rt.agent import Agent, memory_of
from agno_rt.cli.default_memory import may_be_stored
from agno_rt.cli.run_agent.display import Display
from agno_rt.cli.run_agent.interrupts import on_interrupt
from agno_rt.cli.run_agent.session_edits import append_interrupted, drop_last_exchange, interrupted_messages
from agno_rt.cli.terminal import hold_keys, restore_settings
from agno_rt.errors import BackendError, NotFound, UsageError
from agno_rt.memory import SessionInfo, foreign_session
from agno_rt.messages import Message
from agno_rt.models import Model, profile_of
from agno_rt.project import Project
from agno_rt.readiness import Finding, check_ready
from agno_rt.result import RunResult
from agno_rt.run_store import Approval, Decision, Resume, RunStore, Standing
from agno_rt.runnable import Runnable, list_parts
from agno_rt.runtime import Runtime
from agno_rt.tools import Tool

if TYPE_CHECKING:
    from agno_rt.library.citations import Citation

__all__ = ["Conversation", "StandingDecision", "decide", "open_conversation"]

T = TypeVar("T")

SESSIONS = 10_000
"""The most sessions to search for the sessions of an agent."""


@attrs.define
class Conversation:
    """An agent in a runtime of another thread. Each method waits for its result.

    `lasts` is true if the runtime's memory outlives the process. `deps` has the first state of a workflow.
    """

    agent: Runnable
    runtime: Runtime
    token: trio.lowlevel.TrioToken
    user: str | None = None
    lasts: bool = True
    deps: Any = None

    def ask(self, input: Input, session: str | None, display: Display) -> RunResult:
        """Ask the agent, show the run as it happens, and return its result: `cancelled` after Ctrl-C.

        A `Resume` as input resumes a stored run. Raises the error of a failed run.
        """
        scope = trio.CancelScope()
        stop = partial(self.token.run_sync_soon, scope.cancel)
        display.is_in_process = self._is_in_process
        with hold_keys(), on_interrupt(stop, restore_settings), display:
            return self._call_in_trio(partial(self._ask, input, session, display, scope))

    def check(self, agent: Runnable | None = None) -> None:
        """Check the conversation's agent, or another agent. Raises the error that its run would raise."""

        async def check() -> None:
            self.runtime.check(self.agent if agent is None else agent)

        self._call_in_trio(check)

    def findings(self) -> list[Finding]:
        """Return the findings about the agent's readiness: errors, warnings and notes. Opens the agent's toolkits."""
        return self._call_in_trio(partial(check_ready, self.runtime, self.agent, memory=False, toolkits=True))

    def decide(self, approval: Approval, decision: Decision) -> None:
        """Decide an approval of a paused run. Raises `UsageError` for a wrong value or an approval decided before."""
        self._call_in_trio(partial(decide, self.runtime, approval.id, decision))

    def is_stored(self, run: str) -> bool:
        """Tell whether the run is stored, and so can be resumed later."""

        async def look() -> bool:
            memory = self.runtime.memory
            try:
                return isinstance(memory, RunStore) and bool(await memory.load_run(run))
            except (NotFound, BackendError):
                return False

        return may_be_stored(self.agent) and self._call_in_trio(look)

    def messages(self, session: str) -> Sequence[Message]:
        """Return the messages of the session. Raises `Forbidden` for another user's session."""

        async def load() -> Sequence[Message]:
            found = await self.runtime.memory.load(session)
            if found.version and found.user != self.user:
                raise foreign_session(session, found.user, self.user)
            return found.messages

        return self._call_in_trio(load)

    def sessions(self) -> list[SessionInfo]:
        """Return the sessions of all users, newest first."""
        return self._call_in_trio(partial(self.runtime.memory.sessions, limit=SESSIONS))

    def own_sessions(self) -> list[SessionInfo]:
        """Return the user's sessions, or without a user the sessions without an owner, newest first."""
        load = partial(self.runtime.memory.sessions, user=self.user, unowned=self.user is None, limit=SESSIONS)
        return self._call_in_trio(load)

    def info(self, session: str) -> SessionInfo | None:
        """Return the title, size and times of the session; `None` for an empty session."""
        return self._call_in_trio(partial(self.runtime.memory.session_info, session))

    def rename(self, session: str, title: str) -> bool:
        """Give the session a title. Return whether the session exists."""
        return self._call_in_trio(partial(self.runtime.memory.rename, session, title))

    def keep_interrupted(self, session: str, result: RunResult, said: str) -> int:
        """Store the messages of a stopped run and its last, unfinished text `said`. Return the number of messages."""
        messages = interrupted_messages(result.messages, said)
        if messages:
            append = partial(append_interrupted, self.runtime.memory, session, messages)
            self._call_in_trio(partial(append, user=self.user, agent=self.agent.name))
        return len(messages)

    def drop_last(self, session: str, count: int | None) -> tuple[Message, ...]:
        """Remove the last exchange, or `count` messages, from the session, and return them. Raises `UsageError`."""
        return self._call_in_trio(partial(drop_last_exchange, self.runtime.memory, session, self.user, count))

    def citations(self, result: RunResult) -> list[Citation]:
        """Return the passages that the run was shown."""

        async def find() -> list[Citation]:
            return self.runtime.citations(result)

        return self._call_in_trio(find)

    def tools(self) -> list[Tool]:
        """Return the agent's tools, including the tools of plugins and toolkits."""
        return list(self._call_in_trio(partial(self.runtime.open_tools, self.agent)).values())

    async def _ask(self, input: Input, session: str | None, display: Display, scope: trio.CancelScope) -> RunResult:
        # A resumed run keeps the session and the user of its beginning.
        user = None if isinstance(input, Resume) else self.user
        async with self.runtime.stream(self.agent, input, session=session, user=user, deps=self.deps) as events:
            with scope:
                async for path, event in events.within():
                    if path:
                        display.show_within(path, event)
                    else:
                        display.show(event)
        # Leaving the stream early cancels the run and waits for its end, so there is always a result.
        assert events.result is not None
        return events.result

    def _is_in_process(self, name: str) -> bool:
        """Tell whether a model of the agent, by its name, is loaded into this process at its first call."""
        specs: list[str | Model | None] = []
        for part in list_parts(self.agent):
            if isinstance(part, Agent):
                summary = memory_of(part.memory).summary
                specs += [part.model, None if summary is None else summary.model]
        # The run has begun, so the runtime has made the models already.
        models = [self.runtime.model(spec) for spec in specs if spec is not None]
        return any(model.name == name and profile_of(model).in_process for model in models)

    def _call_in_trio(self, function: Callable[[], Awaitable[T]]) -> T:
        return trio.from_thread.run(function, trio_token=self.token)


@attrs.frozen
class StandingDecision(Decision):
    """A decision to approve that stands for later calls."""

    standing: Standing = Standing()


async def decide(runtime: Runtime, approval: str, decision: Decision, user: str | None = None) -> Approval:
    """Decide an approval. Raises `UsageError`, or `ApprovalConflict` for a decided or expired approval."""
    try:
        given = None if decision.arguments is None else msgspec.json.decode(decision.arguments)
    except msgspec.MsgspecError as exc:
        hint = 'Write JSON, as in {"city": "Seoul"}.'
        raise UsageError(f"{decision.arguments!r} is not JSON: {exc}", hint=hint) from exc
    match decision.status:
        case "approved":
            standing = decision.standing if isinstance(decision, StandingDecision) else None
            return await runtime.approve(approval, given, user=user, by=decision.by, standing=standing)
        case "denied":
            return await runtime.deny(approval, decision.reason, user=user, by=decision.by)
        case "answered":
            return await runtime.answer(approval, given, user=user, by=decision.by)


@contextmanager
def open_conversation(project: Project, agent: Runnable, user: str | None = None) -> Iterator[Conversation]:
    """Open the project's runtime in another thread, and close it after the block. Raises the errors of opening."""
    opened: Future[tuple[Runtime, trio.lowlevel.TrioToken, trio.Event]] = Future()
    with ThreadPoolExecutor(1, thread_name_prefix="agno-rt") as pool:
        ended = pool.submit(trio.run, _hold_open, project, opened)
        ended.add_done_callback(lambda ended: _pass_error(ended, opened))
        runtime, token, closing = opened.result()
        try:
            yield Conversation(agent, runtime, token, user, project.config.runtime.memory != "memory:")
        finally:
            # An event of trio may only be set in trio's thread.
            token.run_sync_soon(closing.set)
            # Raises the error of a runtime that failed while closing.
            ended.result()


async def _hold_open(project: Project, opened: Future[tuple[Runtime, trio.lowlevel.TrioToken, trio.Event]]) -> None:
    closing = trio.Event()
    async with project.runtime() as runtime:
        opened.set_result((runtime, trio.lowlevel.current_trio_token(), closing))
        await closing.wait()


def _pass_error(ended: Future[None], opened: Future[tuple[Runtime, trio.lowlevel.TrioToken, trio.Event]]) -> None:
    # Without this, a runtime that fails to open would leave the main thread waiting forever.
    error = ended.exception()
    if error is not None and not opened.done():
        opened.set_exception(error)
