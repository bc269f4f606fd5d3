"""The background runs of a run: bounded, found by name, and joined or cancelled at the end of the run around.

The tasks belong to the runtime's nursery. A background run spends from the budgets of the run around, and its events
name that run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from agno_rt._decide.turns import Turns
from agno_rt._drive.inbox import open_inbox
from agno_rt._drive.job import AskedWithin, Job
from agno_rt._drive.steer import take_messages
from agno_rt.errors import UsageError
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.run_store import Approval
from agno_rt.runnable import OnEnd
from agno_rt.runs import Run, stop, wait_for_end

__all__ = ["Child", "Children", "check_on_end", "children_of", "take_with_children"]

TOLD = "Tasks that have ended meanwhile:"
"""The beginning of the message to a model with the answers not collected."""


class Child(msgspec.Struct, eq=False):
    """A run in the background: `name` is the name within the run around, `agent` the runnable's.

    `start` starts the run, or resumes the run of an earlier process, as `asked`. `ended` is the result of a run
    completed by an earlier process; `is_taken` is set after the answer was passed on.
    """

    name: str
    agent: str
    id: str
    on_end: OnEnd = "wait"
    asked: AskedWithin | None = None
    start: Callable[[], Awaitable[Run[Any] | RunResult]] | None = None
    run: Run[Any] | None = None
    ended: RunResult | None = None
    is_taken: bool = False
    _opening: trio.Lock = msgspec.field(default_factory=trio.Lock)

    @property
    def result(self) -> RunResult | None:
        """The result, with the error of a run without an answer; `None` while the run is under way."""
        return self.ended if self.run is None else self.run.result

    @property
    def status(self) -> str:
        """The status of the result, or `running`."""
        return "running" if self.result is None else self.result.status

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """The approvals for which the run has paused."""
        return () if self.result is None else self.result.approvals

    @property
    def wakes_at(self) -> float | None:
        """The time at which the paused run goes on by itself, if any."""
        return None if self.asked is None else self.asked.wakes_at

    async def open(self) -> None:
        """Start the run, or go on with the run of an earlier process; a finished run is not run again."""
        assert self.start is not None, "set by `Children.start`"
        started = await self.start()
        self.run, self.ended = (started, None) if isinstance(started, Run) else (None, started)

    async def reopen_if_decided(self) -> None:
        """Go on with a paused run after the person's decision."""
        result = self.result
        if result is None or result.status != "paused" or self.run is None or self.run.store is None:
            return
        waiting = {approval.id for approval in result.approvals}
        known = await self.run.store.approvals(run=self.id)
        if any(each.id in waiting and each.status != "pending" for each in known):
            await self.reopen(result)

    async def reopen(self, paused: RunResult) -> None:
        """Go on with the run after this pause, once, although several tasks may wait for it."""
        async with self._opening:
            if self.result is paused:
                await self.open()

    async def wait(self) -> RunResult:
        """Wait for the end, and return the result, also of a failed or paused run."""
        if self.run is not None:
            await wait_for_end(self.run)
        assert self.result is not None, "the run has ended"
        return self.result

    async def cancel(self) -> None:
        """Cancel the run, and wait for its end."""
        if self.run is not None:
            await stop(self.run)


class Children:
    """The background runs of one run, by name."""

    __slots__ = ("_job", "by_name")

    def __init__(self, job: Job[Any]) -> None:
        self._job = job
        self.by_name: dict[str, Child] = {}

    @property
    def is_stored(self) -> bool:
        """True if the run has a journal, and so have its background runs."""
        return self._job.journal is not None

    async def start(self, child: Child, runnable: Any, input: Any, session: str | None = None) -> None:
        """Start the run, or find the run of an earlier process by the id. Raises as `Runtime.start`.

        Without a journal the run gets a new id. The name is the run's path.
        """
        job, journal = self._job, self._job.journal
        asked = AskedWithin(session, job.asked.user, job.asked.deps, path=child.name)
        asked.child = None if journal is None else child.id
        asked.is_resumed = journal is not None and journal.replay is not None
        asked.is_forced = journal is not None and journal.forced

        async def start() -> Run[Any] | RunResult:
            return await job.resolved.start(runnable, input, asked, job)  # type: ignore[no-any-return]

        child.asked, child.start = asked, start
        self.by_name[child.name] = child
        try:
            await child.open()
        except BaseException:
            del self.by_name[child.name]
            raise
        if child.run is not None:
            child.id = child.run.id
            asked.child = None if child.run.store is None else child.id
        asked.is_resumed = asked.child is not None

    def take(self, child: Child) -> RunResult:
        """Pass the result on, and count the usage, once."""
        result, turns = child.result, self._job.turns
        assert result is not None, "the run has ended"
        assert turns is not None, "the run around has begun"
        if not child.is_taken and result.status != "paused":
            child.is_taken = True
            turns.usage = turns.usage + result.usage
        return result

    async def settle(self, turns: Turns) -> list[Message]:
        """Wait for the runs with `on_end="wait"`; return a message with the answers not collected, if any.

        Without a turn left nobody could read the message.
        """
        left = [child for child in self.by_name.values() if child.on_end == "wait" and not child.is_taken]
        for child in left:
            await child.wait()
        left = [child for child in left if child.status != "paused"]
        if not left or turns.turn >= turns.max_turns:
            return []
        told = "\n\n".join(_tell(child, self.take(child)) for child in left)
        return [Message("user", f"{TOLD}\n\n{told}")]

    async def close(self) -> None:
        """Cancel the runs under way, except kept runs. A stored run is resumed together with the run around."""
        left = [child for child in self.by_name.values() if child.on_end != "keep" and not child.is_taken]
        for child in left:
            if child.run is not None:
                child.run.cancel()
        for child in left:
            await child.cancel()
            self.take(child)


def children_of(job: Job[Any]) -> Children:
    """Return the background runs of the run. Raises `UsageError` for a run without any."""
    found = None if job.inbox is None else job.inbox.children
    if not isinstance(found, Children):
        hint = "Give the agent all tools of a Delegates: tools=[Delegates([...], background=True)]."
        raise UsageError("this run has no background runs", hint=hint)
    return found


def check_on_end(on_end: object, what: str) -> None:
    """Raise `UsageError` for an unknown policy."""
    if on_end not in ("wait", "cancel", "keep"):
        raise UsageError(f"on_end of {what} is {on_end!r}", hint="Give 'wait', 'cancel' or 'keep'.")


async def take_with_children(take: Callable[[Any, Turns], Awaitable[None]], job: Job[Any], turns: Turns) -> None:
    """Take an agent's turns by `take`; join or cancel the agent's background runs at the end."""
    inbox = open_inbox(job)
    children = inbox.children = Children(job)
    try:
        if job.journal is not None and job.journal.replay is not None:
            own = turns.messages[turns.own + len(job.input) :]
            # Of an unfinished turn the results are in the journal, and not among the messages yet.
            own += [each for call in turns.calls if (each := job.journal.told(turns, call)) is not None]
            for tool in job.resolved.tools.values():
                if (reopen := getattr(tool.function, "reopen", None)) is not None:
                    await reopen(children, own)
            if turns.state == "completed":
                # The earlier process stored the answer, and ended before the model was told of the tasks.
                await take_messages(job, turns, inbox)
        await take(job, turns)
    finally:
        await children.close()


def _tell(child: Child, result: RunResult) -> str:
    text = result.content if result.status == "completed" else str(result.error or "")
    return f"[{child.name}, run {child.id}: {result.status}]\n{text}"
