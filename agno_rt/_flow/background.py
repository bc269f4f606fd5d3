"""The runs that a flow has started in the background: recorded at their places, and joined at the end of the flow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from agno_rt._decide.controls import When
from agno_rt._decide.flow_input import input_for_run
from agno_rt._decide.flow_journal import child_id, digest_of
from agno_rt._decide.flow_paths import Place
from agno_rt._decide.input import Input, as_messages
from agno_rt._decide.journal import StepEnded
from agno_rt._drive.job import Job
from agno_rt._flow.children import Child, Children, check_on_end
from agno_rt._flow.results import read_result, write_result
from agno_rt._flow.scope import Scope
from agno_rt.errors import AgnoError, JournalMismatch, RunCancelled
from agno_rt.result import RunResult
from agno_rt.run_store import RunConflict
from agno_rt.runnable import BackgroundRun, OnEnd, Runnable
from agno_rt.workflows.functions import SCOPE

__all__ = ["FlowBackground"]


class FlowBackground:
    """The background runs of one flow. `flow` is the `LiveFlow`."""

    __slots__ = ("_children", "_flow", "_job", "_started")

    def __init__(self, flow: Any, job: Job[Any]) -> None:
        self._flow = flow
        self._job = job
        self._children = Children(job)
        self._started: list[_FlowRun] = []

    async def start(
        self, scope: Scope, place: Place, runnable: Runnable[Any, Any], input: Any, session: str | None, on_end: OnEnd
    ) -> _FlowRun:
        """Start the run, or find its recorded end. Raises as `Runtime.start`."""
        check_on_end(on_end, place.path)
        given = input_for_run(input)
        digest = digest_of(getattr(runnable, "name", ""), session, as_messages(given))
        child_run = child_id(self._flow.journal_id, place.path)
        child = Child(place.path, str(getattr(runnable, "name", "")), child_run, on_end)
        run = _FlowRun(self._flow, self._children, child, runnable, place, digest)
        if self._flow.record.has_ended(place, digest):
            run.recall(self._job.resolved.read_output)
            return run
        if scope.overdue is not None:
            raise scope.overdue
        self._flow.record.find(place, digest)  # raises for another input than the journal's
        token = SCOPE.set(None)
        try:
            await self._children.start(child, runnable, given, session)
        finally:
            SCOPE.reset(token)
        self._started.append(run)
        if self._flow.record.keeps_questions:  # else nobody looks again
            self._flow.waits.is_held = self._is_at_work
        return run

    def _is_at_work(self) -> bool:
        """Return whether a run is under way that would be cut off by a pause."""
        return any(run.child.status == "running" and run.child.on_end != "keep" for run in self._started)

    def list_paused(self) -> list[Child]:
        """Return the runs that have paused, for the pause of the flow."""
        return [run.child for run in self._started if run.child.status == "paused" and not run.is_settled]

    async def join(self) -> None:
        """Wait for the runs that the flow waits for, and raise the first failure, as a nursery does at its end."""
        for run in self._started:
            if run.child.on_end == "wait" and not run.is_settled:
                await run.wait()

    async def close(self) -> None:
        """Cancel the runs under way, except those that are kept."""
        await self._children.close()


class _FlowRun(BackgroundRun[Any]):
    """A background run of a flow; its end is recorded when the flow has waited for it."""

    __slots__ = ("_began", "_children", "_digest", "_end", "_flow", "_place", "_runnable", "child", "is_settled")

    def __init__(self, flow: Any, children: Children, child: Child, runnable: Any, place: Place, digest: str) -> None:
        self.child = child
        self._flow = flow
        self._children = children
        self._runnable = runnable
        self._place = place
        self._digest = digest
        self._began = time.time()
        self._end: RunResult | AgnoError | None = None
        # True if the flow knows how the run ended, or has cancelled the run.
        self.is_settled = False

    @property
    def id(self) -> str:
        """See `BackgroundRun.id`."""
        return self.child.id

    @property
    def status(self) -> str:
        """See `BackgroundRun.status`."""
        return self._end.status if isinstance(self._end, RunResult) else self.child.status

    def recall(self, read_output: Callable[[Runnable, str, bytes], Any]) -> None:
        """Take the end of the run from the journal. Raises `JournalMismatch`."""
        try:
            done: StepEnded | None = self._flow.find_step(self._place, self._digest)
        except JournalMismatch:
            raise
        except AgnoError as exc:
            self._end = exc
            return
        assert done is not None, "the journal has the end"
        self._end = read_result(self._runnable, done, read_output)

    async def wait(self) -> RunResult:
        """See `BackgroundRun.wait`."""
        if self._end is None:
            await self._wait()
        self.is_settled = True
        if isinstance(self._end, RunResult):
            return self._end
        assert self._end is not None, "the run has ended"
        raise self._end

    async def _wait(self) -> None:
        flow, child = self._flow, self.child
        while (result := await child.wait()).status == "paused":
            await flow.wait_for_run(result.approvals, child.asked)
            await child.reopen(result)  # decided while other branches work, or due
        self._children.take(child)
        if result.status != "completed":
            error = result.error
            if not isinstance(error, AgnoError):
                error = RunCancelled(f"run {child.id!r} of {self._place.path} was cancelled")
                error.result = result
            self._end = error
            await flow.record.fail(self._place, self._digest, error, began=self._began, run=child.id)
            return
        self._end = result
        more = {"run": child.id, "usage": result.usage}
        await flow.record.end(self._place, self._digest, write_result(result), began=self._began, **more)

    def send(self, input: Input, when: When = "next") -> None:
        """See `BackgroundRun.send`."""
        if self.child.run is None or self.status != "running":
            raise RunConflict(f"run {self.id!r} of {self._place.path} is {self.status}", hint="Start another run.")
        self.child.run.send(input, when)

    async def cancel(self) -> None:
        """See `BackgroundRun.cancel`."""
        if self._end is None:
            self.is_settled = True
            await self.child.cancel()
