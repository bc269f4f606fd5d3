"""The handles of runs under way, and the functions to carry out and stop a run in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, final

import attrs
import trio

from agno_rt._drive.emitter import EventBuffer
from agno_rt._drive.execute import execute
from agno_rt._drive.inbox import open_inbox
from agno_rt._drive.job import Job, ResolvedAgent
from agno_rt._drive.scopes import RunStopped
from agno_rt._schema.generics import OutputT
from agno_rt.events import Event, RunStarted
from agno_rt.limits import LimitStatistics
from agno_rt.result import RunResult

if TYPE_CHECKING:
    from agno_rt._decide.controls import StopAt, When
    from agno_rt._decide.input import Input
    from agno_rt.run_store import RunStore

__all__ = ["STREAM_BUFFER", "Run", "RunStream", "WithinStream", "carry_out", "stop", "wait_for_end"]

STREAM_BUFFER = 256
"""The most events that a stream holds for a slow reader; then the run waits."""


@final
@attrs.define(eq=False)
class Run(Generic[OutputT]):
    """A run under way in the background of a runtime, from `Runtime.start`."""

    id: str
    _job: Job[Any]
    _scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    _error: Exception | None = None
    _is_over: bool = False
    # Made by the first `wait`: nobody waits for most runs, and an event takes 300 bytes.
    _end: trio.Event | None = None

    @property
    def result(self) -> RunResult[OutputT] | None:
        """The result, or `None` while the run is under way."""
        return self._job.outcome

    @property
    def store(self) -> RunStore | None:
        """The store of a stored run, for its record, its steps and its approvals; `None` for any other run."""
        return None if self._job.journal is None else self._job.journal.store

    def cancel(self) -> None:
        """Cancel the run; `wait` then returns its result so far, with status `cancelled`."""
        self._scope.cancel()

    def send(self, input: Input, when: When = "next") -> None:
        """Send a user's message to the run under way, to steer the run.

        The model sees the message in its next turn, after the calls of the present one (`when="next"`), or once the run
        has an answer (`when="end"`). A message for the next turn that comes while the last answer is written is not
        lost: the run goes on. The messages are the run's own: they are stored in its journal and in its session. A team
        or workflow hands a message on to each run under way within, or else to the next one.

        Until the run takes the message in, it is in memory; `Runtime.send` stores it first. Raises `RunConflict` for a
        run that is over or paused, and `UsageError` for a message that is not a user's.
        """
        from agno_rt._drive.steer import put_message  # few runs receive messages

        put_message(self._job, input, when)

    def stop(self, at: StopAt = "tools", *, grace: float | None = None) -> None:
        """Stop the run at a safe point; `wait` then returns its result so far, with status `cancelled`.

        The run stops after the tools of the present turn, after the model's answer and before the answer's tools
        (`at="model"`), or at once, as `cancel` does (`at="now"`). After `grace` seconds the run is cancelled in any
        case. A run whose answer is the last one completes. In a team or workflow, each run within stops at its own
        safe point, and no other step begins. A stored run can be resumed, and makes no finished call again. Raises
        `UsageError` for other values.
        """
        from agno_rt._drive.steer import request_stop  # few runs are stopped

        request_stop(self._job, self._scope, at, grace)

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return how much the run has spent of its turns and of each bounded budget."""
        turns, budget = self._job.turns, self._job.budget
        taken = LimitStatistics("turns", self._job.resolved.limits.turns, 0 if turns is None else turns.turn, 0)
        return (taken, *(() if budget is None else budget.statistics()))

    async def wait(self) -> RunResult[OutputT]:
        """Wait for the end and return the result. Raises the error of a run that ended without an answer."""
        await self._wait_for_end()
        if self._error is not None:
            raise self._error
        assert self._job.outcome is not None
        return self._job.outcome

    async def _wait_for_end(self) -> None:
        if self._is_over:
            await trio.lowlevel.checkpoint()
            return
        if self._end is None:
            self._end = trio.Event()
        await self._end.wait()


@final
@attrs.define(eq=False)
class RunStream(Generic[OutputT]):
    """The events of one run in order, from `Runtime.stream`, for `async for`.

    The last event is the run's `RunEnded`. If the run ended without an answer, the iteration then raises its error. The
    events of runs within are left out: see `within`.
    """

    run: Run[OutputT]
    _buffer: EventBuffer

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def result(self) -> RunResult[OutputT] | None:
        """The result, or `None` while the run is under way."""
        return self.run.result

    def send(self, input: Input, when: When = "next") -> None:
        """Send a user's message to the run under way, as `Run.send`."""
        self.run.send(input, when)

    def stop(self, at: StopAt = "tools", *, grace: float | None = None) -> None:
        """Stop the run at a safe point, as `Run.stop`; its remaining events, up to `RunEnded`, still come."""
        self.run.stop(at, grace=grace)

    def cancel(self) -> None:
        """Cancel the run; its remaining events, up to `RunEnded`, still come."""
        self.run.cancel()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the present state of the run's budgets, and of the buffer with the events not yet read."""
        return (*self.run.statistics(), self._buffer.statistics())

    def within(self) -> WithinStream:
        """Return the stream with the events of the runs within, such as a team's members: pairs of path and event.

        The path names the run that the event is of: empty for this run, `a#1` for a step, `a#1/b#1` for a step of the
        run at that step; a run within a tool has its runnable's name. Iterate over this in place of the stream itself:
        `async for path, event in events.within():`. Each run begins with `RunStarted` and ends with `RunEnded`.
        """
        self._buffer.takes_within = True
        return WithinStream(self)

    def __aiter__(self) -> Self:
        if self._buffer.takes_within is None:
            self._buffer.takes_within = False
        return self

    async def __anext__(self) -> Event:
        buffer, own = self._buffer, self.run.id
        while (event := await buffer.receive()) is not None:
            if event.run_id == own:
                return event
        await self.run.wait()
        raise StopAsyncIteration


@final
class WithinStream:
    """The events of a run and of all runs within, from `RunStream.within`."""

    __slots__ = ("_paths", "_stream")

    def __init__(self, stream: RunStream[Any]) -> None:
        self._stream = stream
        self._paths = {stream.run_id: ""}

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, Event]:
        event = await self._stream._buffer.receive()
        if event is None:
            await self._stream.run.wait()
            raise StopAsyncIteration
        if isinstance(event, RunStarted) and event.run_id not in self._paths:
            around = self._paths.get(event.parent or "", "")
            own = event.path or event.agent or "run"
            self._paths[event.run_id] = f"{around}/{own}" if around else own
        return self._paths.get(event.run_id, ""), event


async def carry_out(run: Run, buffer: EventBuffer | None = None) -> None:
    """Execute a background run, and keep its error for `Run.wait`."""
    job = run._job
    try:
        with run._scope:
            if job.resolved.__class__ is not ResolvedAgent:
                open_inbox(job)  # from the beginning: a flow looks there whether anybody may stop it
            await execute(job)
        if job.journal is not None:
            run._error = job.journal.lost
    except Exception as exc:
        # A stopped run has a result, as a cancelled one.
        if not (isinstance(exc, RunStopped) and exc.run == run.id):
            run._error = exc
    finally:
        run._is_over = True
        if run._end is not None:
            run._end.set()
        if buffer is not None:
            buffer.close()


async def wait_for_end(run: Run) -> None:
    """Wait for the end of a background run, however it ends."""
    await run._wait_for_end()


async def stop(run: Run) -> None:
    """Cancel a background run and wait for its end, shielded from cancellation of the caller."""
    run.cancel()
    with trio.CancelScope(shield=True):
        await run._wait_for_end()
