"""The handles of runs under way, and the functions to carry out and stop a run in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, final

import attrs
import trio

from agno_rt._drive.emitter import EventBuffer
from agno_rt._drive.execute import execute
from agno_rt._drive.job import Job
from agno_rt._drive.scopes import RunStopped
from agno_rt._schema.generics import OutputT
from agno_rt.events import Event
from agno_rt.limits import LimitStatistics
from agno_rt.result import RunResult

if TYPE_CHECKING:
    from agno_rt._decide.controls import StopAt, When
    from agno_rt._decide.input import Input

__all__ = ["STREAM_BUFFER", "Run", "RunStream", "carry_out", "stop"]

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

    The last event is the run's `RunEnded`. If the run ended without an answer, the iteration then raises its error.
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

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._buffer.receive()
        if event is not None:
            return event
        await self.run.wait()
        raise StopAsyncIteration


async def carry_out(run: Run, buffer: EventBuffer | None = None) -> None:
    """Execute a background run, and keep its error for `Run.wait`."""
    try:
        with run._scope:
            await execute(run._job)
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


async def stop(run: Run) -> None:
    """Cancel a background run and wait for its end, shielded from cancellation of the caller."""
    run.cancel()
    with trio.CancelScope(shield=True):
        await run._wait_for_end()
