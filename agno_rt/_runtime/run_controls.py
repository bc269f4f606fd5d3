"""The controls of stored runs: the part of a runtime's methods that take the id of a run or of an approval."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt._decide.input import Input
from agno_rt._runtime.run_values import NO_RESULT
from agno_rt._runtime.toolkits import not_open_error
from agno_rt.memory import MemoryBackend
from agno_rt.run_store import Approval, Resume, RunRecord, RunStatus
from agno_rt.runnable import Runnable
from agno_rt.tools import Tool

if TYPE_CHECKING:
    import trio

    from agno_rt._decide.controls import StopAt, When
    from agno_rt._runtime.stored_runs import StoredRuns

__all__ = ["RunControls"]


class RunControls:
    """Base of `Runtime` for stored runs. The subclass holds the memory and opens toolkits."""

    _stored_runs: StoredRuns | None

    if TYPE_CHECKING:

        @property
        def memory(self) -> MemoryBackend: ...

        async def _open_tools(self, runnable: Runnable) -> Mapping[str, Tool]: ...

        _nursery: trio.Nursery | None

        async def start(self, agent: Any, input: Any, *, deps: Any = None) -> Any: ...

        def _count_room(self) -> int: ...

    def add(self, *runnables: Runnable) -> None:
        """Make runnables known by name, so that their stored runs can be resumed."""
        self._stored.add(runnables)

    async def fork(
        self,
        run_id: str,
        at: int | str | None = None,
        *,
        input: Input | None = None,
        result: Any = NO_RESULT,
        user: str | None = None,
    ) -> str:
        """Store a run with the first `at` entries of a run's journal, all, or those before a step; return its id.

        With another `input`, the steps of a workflow that get other arguments than before are taken again, and so is
        what follows them; an agent's run begins anew. With a `result`, the step at the path `at` is not taken again,
        but has this result: a text for the answer of a run within, else a value that JSON can carry.

        Resume the new run by its id; the user is the same. The first run stays as it is. Raises `NotFound`, and
        `UsageError` for a missing entry, or a value that cannot be stored.
        """
        from agno_rt._runtime.make_fork import ForkChange  # few runs are forked

        return await self._stored.fork(run_id, user, ForkChange(at, input, result))

    async def cancel(self, run_id: str, *, user: str | None = None) -> bool:
        """Cancel a stored run in any process; return False for an ended run. A cancelled run can be resumed."""
        return await self._stored.cancel(run_id, user)

    async def signal(self, run_id: str, name: str, value: Any = None, *, user: str | None = None) -> RunStatus:
        """Send a signal to a workflow's run, for `Flow.signal`; return the run's status. Resume a paused run then.

        Raises `NotFound`, `RunConflict` for a completed run, and `UsageError` for a value that JSON cannot carry.
        """
        return await self._stored.signal(run_id, name, value, user)

    async def send(self, run_id: str, input: Input, when: When = "next", *, user: str | None = None) -> RunStatus:
        """Send a user's message to a stored run in any process, to steer the run; return the run's status.

        The message is stored at once. A run under way takes it in before its next turn, or once it has an answer
        (`when="end"`); another process learns of it within a second or two. A run that is paused, stopped or ended
        without an answer takes it in when it is resumed. A team or workflow hands it on to each run under way within,
        or else to the next one. The message is taken in once, however often the run is killed and resumed.

        Raises `NotFound`, `RunConflict` for a completed run, and `UsageError` for a message that is not a user's.
        """
        return await self._stored.send(run_id, input, when, user)

    async def stop(
        self, run_id: str, at: StopAt = "tools", *, grace: float | None = None, user: str | None = None
    ) -> bool:
        """Stop a stored run in any process at a safe point, as `Run.stop`; return False for an ended run.

        A stopped run has status `cancelled`, or `completed` if the present answer is its last, and is cancelled after
        `grace` seconds in any case. A paused run is cancelled. Raises `NotFound`, and `UsageError` for other values.
        """
        return await self._stored.stop(run_id, at, grace, user)

    def wake_runs(self, *, deps: Any = None) -> None:
        """Resume paused runs when their time comes, from now on until the runtime closes.

        A workflow's sleep is over, its wait for a signal has taken too long, or an approval has expired. Runnables that
        were `add`ed, or have run here, are resumed in the background, with the `deps`. Any number of processes may do
        so: one of them gets the run. From now on a workflow whose branches all sleep for more than ten seconds pauses,
        so that nothing of it stays in memory.

        Raises `UsageError` for a memory that is not a `FlowStore`, and for a second call.
        """
        from agno_rt._runtime.wake_runs import begin_waking, wake_runs  # few runtimes wake runs

        def start(runnable: Runnable, resume: Resume) -> Awaitable[Any]:
            return self.start(runnable, resume, deps=deps)

        if self._nursery is None:
            raise not_open_error()
        scope = begin_waking(self._stored)
        self._nursery.start_soon(wake_runs, self._stored, scope, start, self._count_room, name="wakes runs")

    def is_stopped(self, record: RunRecord) -> bool:
        """Return whether a stored run is `running` without a living process, and can be resumed."""
        return self._stored.is_stopped(record)

    async def approval(self, approval: str, *, user: str | None = None) -> Approval:
        """Return an approval, pending or decided, by its id. Raises `NotFound`."""
        return await self._stored.approval(approval, user)

    async def approve(
        self, approval: str, arguments: Any = None, *, user: str | None = None, by: str | None = None
    ) -> Approval:
        """Allow the waiting tool call, with other `arguments` if given. Then resume the run.

        Raises `NotFound`, `ApprovalConflict` for a decided or expired approval, and `UsageError` for arguments that do
        not fit the tool.
        """
        return await self._stored.decide(approval, "approved", arguments, by=by, user=user)

    async def deny(
        self, approval: str, reason: str = "", *, user: str | None = None, by: str | None = None
    ) -> Approval:
        """Refuse the waiting call, with a reason for the model. Then resume the run. Raises as `approve`."""
        return await self._stored.decide(approval, "denied", reason=reason, by=by, user=user)

    async def answer(self, approval: str, value: Any, *, user: str | None = None, by: str | None = None) -> Approval:
        """Give the user's input for a tool, or the result of a tool carried out elsewhere. Raises as `approve`."""
        return await self._stored.decide(approval, "answered", value, by=by, user=user)

    @property
    def _stored(self) -> StoredRuns:
        if self._stored_runs is None:
            from agno_rt._runtime.stored_runs import StoredRuns  # few runtimes store runs

            self._stored_runs = StoredRuns(lambda: self.memory, self._open_tools)
        return self._stored_runs
