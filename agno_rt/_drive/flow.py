"""The flow of a run under way: runs others within the run, at once or in turn, and names each thing that it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import msgspec

from agno_rt._decide.budget import budget_of
from agno_rt._decide.flow_input import input_for_run
from agno_rt._decide.flow_paths import Place, PlaceCounter
from agno_rt._decide.turns import Turns
from agno_rt._drive.flow_group import LiveGroup
from agno_rt._drive.flow_scope import SCOPE, Scope
from agno_rt._drive.job import Job
from agno_rt._drive.nesting import OUTER
from agno_rt._drive.scopes import deadline
from agno_rt._schema.generics import OutputT
from agno_rt.agent import limits_of
from agno_rt.errors import AgnoError, UsageError
from agno_rt.limits import Limits
from agno_rt.result import RunResult
from agno_rt.runnable import Flow, OnError, Runnable

__all__ = ["LiveFlow"]

_BLOCK_LIMITS = frozenset(("tool_calls", "input_tokens", "output_tokens", "tokens", "cost", "run_timeout"))
"""The fields of `Limits` that `Flow.limits` accepts: the others hold for a whole run or a whole runtime."""


class LiveFlow(Flow):
    """The flow of one run; its first scope belongs to the task that makes it."""

    __slots__ = ("_job", "_turns")

    def __init__(self, job: Job[Any], turns: Turns) -> None:
        self.run_id = job.run_id
        self.session = None if job.session is None else job.session.id
        self.user = job.asked.user
        self.history = tuple(turns.messages[: turns.own])
        self.deps = job.asked.deps
        self._job = job
        self._turns = turns

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the present task the flow's main branch for the block."""
        token = SCOPE.set(Scope(self, PlaceCounter()))
        try:
            yield
        finally:
            SCOPE.reset(token)

    @property
    def path(self) -> str:
        """See `Flow.path`."""
        return self._scope("path").counter.path

    async def run(
        self, runnable: Runnable[Any, OutputT], input: Any, *, session: str | None = None, name: str | None = None
    ) -> RunResult[OutputT]:
        """See `Flow.run`."""
        scope = self._scope(name or _name_of(runnable))
        self.take_place(scope, name or _name_of(runnable))
        return await self._run(runnable, input_for_run(input), session)

    def group(self, name: str = "group", *, limit: int | None = None, on_error: OnError = "cancel") -> LiveGroup:
        """See `Flow.group`."""
        return LiveGroup(self, self._scope(name), name, limit, on_error)

    async def first(self, *runnables: Runnable[Any, OutputT], input: Any, name: str = "first") -> RunResult[OutputT]:
        """See `Flow.first`."""
        if not runnables:
            raise UsageError("flow.first got no runnables", hint="Give at least one: flow.first(a, b, input=...).")
        winners: list[RunResult[OutputT]] = []
        failures: list[AgnoError] = []
        async with self.group(name) as group:

            async def compete(runnable: Runnable[Any, OutputT]) -> None:
                try:
                    result = await self.run(runnable, input)
                except AgnoError as exc:
                    failures.append(exc)
                    return
                winners.append(result)
                group.cancel()

            for runnable in runnables:
                group.start(compete, runnable)
        if not winners:
            raise failures[-1]
        return winners[0]

    async def map(
        self,
        runnable: Runnable[Any, OutputT] | Callable[..., Any],
        inputs: Iterable[Any],
        *,
        limit: int | None = None,
        on_error: OnError = "cancel",
        key: Callable[[Any], str] | None = None,
        name: str = "map",
    ) -> list[Any]:
        """See `Flow.map`."""
        async with self.group(name, limit=limit, on_error=on_error) as group:
            for value in inputs:
                group.start(runnable, value, key=None if key is None else key(value))
        return group.results

    @contextmanager
    def limits(self, limits: Limits | Mapping[str, Any]) -> Iterator[None]:
        """See `Flow.limits`."""
        limits = limits_of(limits)
        _check_block_limits(limits)
        outer = OUTER.get()
        assert outer is not None, "a flow's run is the outer run of the runs within"
        # A copy of the run with the block's budget: runs within the block are inside of both.
        token = OUTER.set(msgspec.structs.replace(outer, budget=budget_of(limits, outer.budget)))
        try:
            if limits.run_timeout is None:
                yield
            else:
                with deadline(limits.run_timeout, "run_timeout", "a block of the workflow"):
                    yield
        finally:
            OUTER.reset(token)

    def take_place(self, scope: Scope, name: str) -> Place:
        """Return the place of the next use of the name in the scope."""
        return scope.take(name)

    def branch_begins(self) -> None:
        """Count a busy branch more."""

    def branch_ends(self) -> None:
        """Count a busy branch less."""

    def _scope(self, what: str) -> Scope:
        """Return the present branch. Raises `UsageError` outside of the flow's tasks."""
        scope = SCOPE.get()
        if scope is None or scope.flow is not self:
            raise UsageError(f"{what} was used outside of its run", hint="A run's flow is for the code of this run.")
        scope.check_task(what)
        return scope

    async def _run(self, runnable: Runnable[Any, OutputT], input: Any, session: str | None) -> RunResult[OutputT]:
        """Run the runnable in this task, and count its usage."""
        turns = self._turns
        token = SCOPE.set(None)
        try:
            result: RunResult[OutputT] = await self._job.resolved.run(
                runnable, input, session=session, user=self.user, deps=self.deps
            )
        except AgnoError as exc:
            if exc.result is not None:
                turns.usage = turns.usage + exc.result.usage
            raise
        finally:
            SCOPE.reset(token)
        turns.usage = turns.usage + result.usage
        return result


def _name_of(runnable: Runnable[Any, Any]) -> str:
    return getattr(runnable, "name", "") or getattr(runnable, "kind", "run")


def _check_block_limits(limits: Limits) -> None:
    for field in attrs.fields(Limits):
        if field.name not in _BLOCK_LIMITS and getattr(limits, field.name) != field.default:
            hint = f"Give it to the runnable or to the runtime; a block takes {', '.join(sorted(_BLOCK_LIMITS))}."
            raise UsageError(f"limit {field.name} does not hold for a block of a workflow", hint=hint)
