"""The controls of stored runs: the part of a runtime's methods that take the id of a run or of an approval."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agno_rt._decide.input import Input
from agno_rt._runtime.run_values import NO_RESULT
from agno_rt._runtime.toolkits import not_open_error
from agno_rt.agent import Agent
from agno_rt.errors import NotFound
from agno_rt.events import Event
from agno_rt.memory import MemoryBackend
from agno_rt.run_store import Approval, Grant, Resume, RunRecord, RunStatus, Standing
from agno_rt.runnable import Runnable, list_parts
from agno_rt.tools import Tool

if TYPE_CHECKING:
    import trio

    from agno_rt._decide.controls import StopAt, When
    from agno_rt._decide.todos import TodoItem
    from agno_rt._runtime.resolve import Resolver
    from agno_rt._runtime.stored_runs import StoredRuns
    from agno_rt._runtime.wake_runs import OnEnd
    from agno_rt.limiter import Limiter
    from agno_rt.limits import Limits
    from agno_rt.runs import Run

__all__ = ["RunControls"]


class RunControls:
    """Base of `Runtime` for stored runs. The subclass holds the memory and opens toolkits."""

    _stored_runs: StoredRuns | None

    if TYPE_CHECKING:

        @property
        def memory(self) -> MemoryBackend: ...

        async def _open_tools(self, runnable: Runnable) -> Mapping[str, Tool]: ...

        _nursery: trio.Nursery | None
        _resolver: Resolver

        async def start(self, agent: Any, input: Any, *, deps: Any = None) -> Any: ...

        _admission: Limiter
        limits: Limits

    async def warm(self, *runnables: Runnable) -> None:
        """Open the runnables' toolkits, connect to their models, and load models in this process, before the first run.

        A model is warmed by its method `warm`; a model without one is left alone. No key is sent, and no answer asked
        for. Raises the first model's error, after every model was tried, and `UsageError` as a run would.
        """
        from agno_rt._runtime.warm import list_models, warm_models  # few runtimes are warmed

        models: list[Any] = []
        for runnable in runnables:
            for part in list_parts(runnable):
                if isinstance(part, Agent):
                    await self._open_tools(part)
                    models += list_models(self._resolver.resolve_agent(part))
        await warm_models(models)

    def add(self, *runnables: Runnable) -> None:
        """Make runnables known by name, so that their stored runs can be resumed."""
        self._stored.add(runnables)

    @property
    def runnables(self) -> Mapping[str, Runnable]:
        """The runnables made known by `add`, by name: those of the project, for a project's runtime."""
        return {} if self._stored_runs is None else MappingProxyType(self._stored_runs.added)

    def runnable(self, name: str) -> Runnable:
        """Return a runnable that was added, or has run as a stored run. Raises `NotFound`, with the nearest name."""
        known = self._stored.runnables
        if name not in known:
            hint = "" if known else "Make it known to the runtime: Runtime.add(...)."
            raise NotFound("agent", name, known, hint=hint)
        return known[name]

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

    def follow(
        self, run_id: str, after: int = 0, *, user: str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[int, Event]]]:
        """Follow a stored run of any process: `async with rt.follow(id) as events: async for number, event in events`.

        The events have numbers from 1. To go on later, give the last number as `after`: no event is missed, and none
        comes twice. A run logs its events if its memory policy says `events=True`; they come a moment after they
        happen. The iteration ends when the run is over, or paused. Events that a killed process has not stored yet are
        lost, and a resumed run goes on with a new `RunStarted`.

        Raises `NotFound`, and `UsageError` for a memory that is not an `EventLog`.
        """
        from agno_rt._runtime.follow_run import follow_run  # few runs are followed

        return follow_run(self._stored.store, run_id, after, user)

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

    def wake_runs(self, *, deps: Any = None, on_end: OnEnd | None = None) -> None:
        """Resume paused runs when their time comes, and runs whose process is gone, until the runtime closes.

        A workflow's sleep is over, its wait for a signal has taken too long, or an approval has expired. In a store
        with leases, a run is taken over when its owner's lease has ended, also from another host. Runnables that were
        added, or have run here, are resumed in the background, with the `deps`. Any number of processes may do so:
        one of them gets the run. From now on a workflow whose branches all sleep for more than ten seconds pauses, so
        that nothing of it stays in memory. `on_end` is awaited with the record from before and the result of each run
        that this runtime went on with, once the run is over or paused again; its failures are warnings.

        Raises `UsageError` for a memory that is not a `FlowStore`, and for a second call.
        """
        from agno_rt._runtime.wake_runs import begin_waking, wake_runs  # few runtimes wake runs

        def start(runnable: Runnable, resume: Resume) -> Awaitable[Run[Any]]:
            return self.start(runnable, resume, deps=deps)

        if self._nursery is None:
            raise not_open_error()
        scope = begin_waking(self._stored)
        self._nursery.start_soon(wake_runs, self._stored, scope, start, self._count_room, on_end, name="wakes runs")

    def _count_room(self) -> int:
        """Return the number of runs that may begin now without waiting for others."""
        places = self._admission.statistics()
        return self._admission.total - int(places.in_use) - places.waiting

    async def find_stopped(self, records: Iterable[RunRecord]) -> set[str]:
        """Return the ids of the runs in `records` that are `running` without a living process, and can be resumed.

        In a store with leases, a process on any host lives as long as it has a lease. Otherwise a process on another
        host is taken to live.
        """
        return await self._stored.find_stopped(records)

    async def read_summary(self, session: str) -> str | None:
        """Return the summary of a session's older messages; None without one. Raises `BackendError`."""
        from agno_rt._decide.session_data import read_kept  # few summaries are read

        kept = read_kept((await self.memory.load(session, 0)).data, session)
        return None if kept.summary is None else kept.summary.text

    async def read_todos(self, session: str) -> tuple[TodoItem, ...]:
        """Return the todo list of a session, as its last finished run left it. Raises `BackendError`."""
        from agno_rt._decide.todos import read_todos  # few sessions have a todo list

        return read_todos((await self.memory.load(session, 0)).data, session).items

    async def approval(self, approval: str, *, user: str | None = None) -> Approval:
        """Return an approval, pending or decided, by its id. Raises `NotFound`."""
        return await self._stored.approval(approval, user)

    async def approve(
        self,
        approval: str,
        arguments: Any = None,
        *,
        user: str | None = None,
        by: str | None = None,
        standing: Standing | None = None,
    ) -> Approval:
        """Allow the waiting tool call, with other `arguments` if given. Then resume the run.

        With `standing`, later calls that fit need no person: see `Standing`, `grants` and `revoke`.

        Raises `NotFound`, `ApprovalConflict` for a decided or expired approval, and `UsageError` for arguments that do
        not fit the tool, for a standing approval of a tool that asks each time, and for a memory without them.
        """
        if standing is None:
            return await self._stored.decide(approval, "approved", arguments, by=by, user=user)
        from agno_rt._runtime.standing import approve_standing  # few approvals stand

        return await approve_standing(self._stored, approval, standing, arguments, by=by, user=user)

    async def grants(self, *, user: str | None = None, unowned: bool = False, limit: int = 100) -> list[Grant]:
        """List the standing approvals of the user, of nobody, or all, newest first. Raises `UsageError`."""
        from agno_rt._runtime.standing import grant_store  # as above

        return await grant_store(self._stored.store).grants(user=user, unowned=unowned, limit=limit)

    async def revoke(self, grant: str, *, user: str | None = None) -> Grant:
        """End a standing approval: later calls ask a person again. Raises `NotFound`, also for another user's."""
        from agno_rt._runtime.standing import revoke_grant  # as above

        return await revoke_grant(self._stored.store, grant, user)

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

            self._stored_runs = StoredRuns(lambda: self.memory, self._open_tools, self.limits.takeovers)
        return self._stored_runs
