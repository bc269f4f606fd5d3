"""The flow of a run under way: runs others within the run, at once or in turn, and names each step."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Never, TypeVar

import attrs
import msgspec
import trio

from agno_rt import events
from agno_rt._decide.budget import budget_of
from agno_rt._decide.flow_input import input_for_run
from agno_rt._decide.flow_journal import StoredResult, child_id, digest_of, store_result
from agno_rt._decide.flow_paths import Place, PlaceCounter
from agno_rt._decide.input import as_messages
from agno_rt._decide.journal import StepEnded
from agno_rt._decide.turns import Turns
from agno_rt._drive.fairness import begin_share, use_share
from agno_rt._drive.ids import new_id
from agno_rt._drive.job import AskedWithin, Job
from agno_rt._drive.nesting import OUTER
from agno_rt._drive.scopes import RunStopped, cause, deadline, ended_as
from agno_rt._flow.ask import Questions
from agno_rt._flow.group import LiveGroup
from agno_rt._flow.record import FlowRecord
from agno_rt._flow.scope import Scope
from agno_rt._flow.signals import Signals
from agno_rt._flow.step import call_step_function
from agno_rt._flow.waits import Waits
from agno_rt._schema.generics import OutputT
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.agent import limits_of
from agno_rt.errors import AgnoError, JournalMismatch, LimitExceeded, StepUncertain, UsageError
from agno_rt.failures import text_of
from agno_rt.limits import Limits
from agno_rt.messages import Usage
from agno_rt.models import NO_USAGE
from agno_rt.result import RunResult
from agno_rt.runnable import Ask, Flow, OnError, Runnable, Stop
from agno_rt.workflows.functions import SCOPE, StepFunction

__all__ = ["LiveFlow"]

T = TypeVar("T")

_BLOCK_LIMITS = frozenset(("tool_calls", "input_tokens", "output_tokens", "tokens", "cost", "run_timeout"))
"""The fields of `Limits` that `Flow.limits` accepts: the others hold for a whole run or a whole runtime."""


class LiveFlow(Flow):
    """The flow of one run; the first scope belongs to the task of the run."""

    __slots__ = ("_counts_budget", "_job", "_turns", "questions", "record", "signals", "waits")

    def __init__(self, job: Job[Any], turns: Turns, *, counts_budget: bool = True) -> None:
        self.run_id = job.run_id
        self.session = None if job.session is None else job.session.id
        self.user = job.asked.user
        self.history = tuple(turns.messages[: turns.own])
        self.deps = job.asked.deps
        self._job = job
        self._turns = turns
        self.waits = Waits()
        self.record = FlowRecord(job)
        self.questions = Questions(job, self.record, self.waits)
        self.signals = Signals(job.run_id, self.record, self.waits)
        self._counts_budget = counts_budget

    async def carry_out(self, conduct: Callable[[Flow, Any], Awaitable[T]], input: Any) -> T | None:
        """Call `conduct` with the present task as the flow's main branch. Return None if the flow paused or stopped."""
        token = SCOPE.set(Scope(self, PlaceCounter()))
        try:
            with self.waits.scope:
                return await conduct(self, input)
            return None
        finally:
            SCOPE.reset(token)

    @property
    def path(self) -> str:
        """See `Flow.path`."""
        return self._scope("path").counter.path

    @property
    def version(self) -> int:
        """See `Flow.version`."""
        return self.record.code_version or self._job.resolved.code_version

    async def run(
        self, runnable: Runnable[Any, OutputT], input: Any, *, session: str | None = None, name: str | None = None
    ) -> RunResult[OutputT]:
        """See `Flow.run`."""
        name = name or _name_run(runnable)
        return await self.run_in(self._scope(name), runnable, input, session=session, name=name)

    async def run_in(
        self,
        scope: Scope,
        runnable: Runnable[Any, OutputT],
        input: Any,
        *,
        session: str | None = None,
        name: str | None = None,
    ) -> RunResult[OutputT]:
        """Run the runnable as `run` does, in the branch of the scope, which is the present task."""
        place = self.take_place(scope, name or _name_run(runnable))
        given = input_for_run(input)
        if self.waits.is_stopping:
            await self.waits.wait_for_stop(scope)
        if not self.record.is_stored:
            return await self._run(scope, runnable, given, AskedWithin(session, self.user, self.deps, path=place.path))
        child, began = child_id(self.run_id, place.path), time.time()
        digest = digest_of(getattr(runnable, "name", ""), session, as_messages(given))
        done = self._find(place, digest, scope)
        if done is not None:
            return self._read_result(runnable, done)
        asked = AskedWithin(session, self.user, self.deps, path=place.path, child=child)
        asked.is_resumed, asked.is_forced = self.record.is_resumed, self.record.is_forced
        try:
            result = await self._run(scope, runnable, given, asked)
        except AgnoError as exc:
            await self.record.fail(place, digest, exc, began=began, run=child)
            raise
        if result.status == "paused":
            await self.questions.wait_with(scope, result.approvals)
        value = msgspec.json.encode(store_result(result, self._write_output(result)))
        await self.record.end(place, digest, value, began=began, run=child, usage=result.usage)
        return result

    async def call_step(
        self, scope: Scope, step: StepFunction[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Call a step's function, or return its recorded value. The task yields after its share of such steps."""
        place, task, began = self.take_place(scope, step.name), scope.task, time.monotonic()
        if self.waits.is_stopping:
            await self.waits.wait_for_stop(scope)
        share = begin_share(task)
        try:
            return await self._take_step(step, place, args, kwargs)
        finally:
            if task.custom_sleep_data is share and use_share(task, share, began):
                await trio.lowlevel.cancel_shielded_checkpoint()

    async def _take_step(
        self, step: StepFunction[..., Any], place: Place, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Call the function of the step at the place, or return its recorded value."""
        if not self.record.is_stored:
            return await self._announce_step(step, place, args, kwargs)
        digest, began = digest_of(args, kwargs), time.time()
        if (done := self._find(place, digest)) is not None:
            return step.read(bytes(done.value))
        if not step.options.idempotent:
            if self.record.begun(place) is not None:
                raise _uncertain_error(place, self.run_id)
            await self.record.begin(place, digest)
        try:
            value = step.encode(await self._announce_step(step, place, args, kwargs))
        except AgnoError as exc:
            await self.record.fail(place, digest, exc, began=began)
            raise
        # Read again, so that the workflow gets the same value now and after a restart.
        read = step.read(value)
        await self.record.end(place, digest, value, began=began)
        return read

    def group(self, name: str = "group", *, limit: int | None = None, on_error: OnError = "cancel") -> LiveGroup:
        """See `Flow.group`."""
        return LiveGroup(self, self._scope(name), name, limit, on_error)

    async def first(self, *runnables: Runnable[Any, OutputT], input: Any, name: str = "first") -> RunResult[OutputT]:
        """See `Flow.first`."""
        if not runnables:
            raise UsageError("flow.first got no runnables", hint="Give at least one: flow.first(a, b, input=...).")
        place = self.take_place(self._scope(name), f"{name} winner")
        winner = self._recall(place, int)
        winners: list[tuple[int, RunResult[OutputT]]] = []
        failures: list[AgnoError] = []
        async with self.group(name) as group:

            async def compete(number: int, runnable: Runnable[Any, OutputT]) -> None:
                if winner not in (None, number):
                    return
                try:
                    result = await self.run(runnable, input)
                except JournalMismatch:
                    raise
                except AgnoError as exc:
                    failures.append(exc)
                    return
                winners.append((number, result))
                group.cancel()

            for number, runnable in enumerate(runnables):
                group.start(compete, number, runnable)
        if not winners:
            raise failures[-1]
        if winner is None:
            await self._store(place, winners[0][0])
        return winners[0][1]

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

    async def ask(self, question: Ask, *, expires: float | None = None, name: str = "ask") -> Any:
        """See `Flow.ask`."""
        scope = self._scope(name)
        if expires is not None:
            question = attrs.evolve(question, expires=expires)
        place = self.take_place(scope, name)
        return await self._announce(place, functools.partial(self.questions.ask, scope, place, question))

    async def signal(self, signal: str, *, timeout: float | None = None, name: str = "signal") -> Any:
        """See `Flow.signal`."""
        scope = self._scope(name)
        place = self.take_place(scope, name)
        return await self._announce(place, functools.partial(self.signals.wait, scope, place, signal, timeout))

    async def sleep(self, seconds: float, *, name: str = "sleep") -> None:
        """See `Flow.sleep`."""
        scope = self._scope(name)
        place = self.take_place(scope, name)
        digest = digest_of(seconds)
        if self._find(place, digest) is not None:
            return
        begun, now = self.record.begun(place), time.time()
        until = now + seconds if begun is None else begun.until
        if begun is None:
            await self.record.begin(place, digest, until)
        await self._announce(place, functools.partial(self.waits.wait, scope, max(0.0, until - now)))
        await self.record.end(place, digest, b"null", began=until - seconds)

    async def now(self) -> float:
        """See `Flow.now`."""
        return await self._draw("now", float, time.time)

    async def random(self) -> float:
        """See `Flow.random`."""
        return await self._draw("random", float, random.random)

    async def id(self) -> str:
        """See `Flow.id`."""
        return await self._draw("id", str, new_id)

    async def changed(self, change: str) -> bool:
        """See `Flow.changed`."""
        scope = self._scope(f"changed {change}")
        # The mark has a place of its own only where the new code runs: old journals keep their numbers.
        name = f"changed {change}"
        if not self.record.has_change(scope.counter.path, scope.counter.next_place[-1], scope.counter.preview(name)):
            return False
        place = self.take_place(scope, name)
        if self._find(place, "") is None:
            await self.record.end(place, "", b"true", began=time.time())
        return True

    def stop(self, reason: str = "") -> Never:
        """See `Flow.stop`."""
        return Stop(reason)  # type: ignore[misc]  # see there

    @contextmanager
    def limits(self, limits: Limits | Mapping[str, Any]) -> Iterator[None]:
        """See `Flow.limits`."""
        limits = limits_of(limits)
        _check_block_limits(limits)
        scope, outer = self._scope("limits"), OUTER.get()
        assert outer is not None, "a flow's run is the outer run of the runs within"
        place, around = self.take_place(scope, "limits"), scope.overdue
        ended = self.record.find_failure(place)
        scope.overdue = ended or around
        # A copy of the run with the block's budget: runs within the block are inside of both.
        token = OUTER.set(msgspec.structs.replace(outer, budget=budget_of(limits, outer.budget)))
        try:
            with ExitStack() as timed:
                if limits.run_timeout is not None:
                    timed.enter_context(deadline(limits.run_timeout, "run_timeout", "a block of the workflow"))
                yield
        except LimitExceeded as exc:
            if ended is None:
                self.record.fail_later(place, exc)
            raise
        finally:
            OUTER.reset(token)
            scope.overdue = around

    def take_place(self, scope: Scope, name: str) -> Place:
        """Return the place of the next use of the name in the scope. Raises `JournalMismatch`."""
        place = scope.take(name)
        if not self.record.is_new:
            self.record.check_place(place)
        return place

    def _scope(self, what: str) -> Scope:
        """Return the present branch. Raises `UsageError` outside of the flow's tasks."""
        scope = SCOPE.get()
        if not isinstance(scope, Scope) or scope.flow is not self:
            hint = "A run's flow is for the code of this run; steps and runs within cannot use it."
            raise UsageError(f"{what} was used outside of its run", hint=hint)
        scope.check_task(what)
        return scope

    def _find(self, place: Place, digest: str, scope: Scope | None = None) -> StepEnded | None:
        """Return the recorded end of the step, if any, and count the usage. Raises a recorded failure."""
        if scope is None:
            scope = SCOPE.get()
        if self.record.is_new:
            if scope.overdue is not None:
                raise scope.overdue
            return None
        try:
            done = self.record.find(place, digest)
        except AgnoError:
            self._spend(self.record.usage_of(place))
            raise
        if done is not None:
            self._spend(done.usage or NO_USAGE)
        elif scope.overdue is not None:
            raise scope.overdue
        return done

    def _spend(self, usage: Usage) -> None:
        if usage is not NO_USAGE:
            self._turns.usage = self._turns.usage + usage
            outer = OUTER.get()
            if self._counts_budget and outer is not None and outer.budget is not None:
                outer.budget.spend(usage)

    async def _announce(self, place: Place, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work between the events of the beginning and the end. Work found in the journal has no events."""
        emitter, path = self._job.emitter, place.path
        if emitter is None or self.record.has_ended(place):
            return await work()
        await emitter.send(events.StepStarted(self.run_id, path))
        try:
            value = await work()
        except BaseException as exc:
            status = ended_as(exc)
            if status == "cancelled":
                emitter.post(events.StepEnded(self.run_id, path, "paused" if self.waits.is_paused else status))
            else:
                emitter.post(events.StepEnded(self.run_id, path, status, text_of(cause(exc))))
            raise
        emitter.post(events.StepEnded(self.run_id, path, "completed"))
        return value

    async def _draw(self, name: str, type_: type[T], draw: Callable[[], T]) -> T:
        """Return a recorded value, drawn once."""
        place = self.take_place(self._scope(name), name)
        value = self._recall(place, type_)
        if value is None:
            value = draw()
            await self._store(place, value)
        return value

    def _recall(self, place: Place, type_: type[T]) -> T | None:
        done = self._find(place, "")
        return None if done is None else msgspec.json.decode(done.value, type=type_)

    async def _store(self, place: Place, value: Any) -> None:
        await self.record.end(place, "", msgspec.json.encode(value), began=time.time())

    def _announce_step(
        self, step: StepFunction[..., Any], place: Place, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Awaitable[Any]:
        """Call the step's function between its events, if anybody listens."""
        if self._job.emitter is None:
            return self._call_step_function(step, place, args, kwargs)
        return self._announce(place, functools.partial(self._call_step_function, step, place, args, kwargs))

    async def _call_step_function(
        self, step: StepFunction[..., Any], place: Place, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        # Inside of a step, other steps are plain functions: a recorded step would hide them from the next process.
        token = SCOPE.set(None)
        try:
            return await call_step_function(step, place.path, args, kwargs, self._job.resolved.workers.threads)
        finally:
            SCOPE.reset(token)

    async def _run(
        self, scope: Scope, runnable: Runnable[Any, OutputT], input: Any, asked: AskedWithin
    ) -> RunResult[OutputT]:
        """Run the runnable in the present task, and count the usage."""
        turns = self._turns
        token = SCOPE.set(None)
        try:
            result: RunResult[OutputT] = await self._job.resolved.run(runnable, input, asked)
        except AgnoError as exc:
            if exc.result is not None:
                turns.usage = turns.usage + exc.result.usage
            if isinstance(exc, RunStopped) and self.waits.is_stopping:
                await self.waits.wait_for_stop(scope)
            raise
        finally:
            SCOPE.reset(token)
        if result.usage is not NO_USAGE:
            turns.usage = turns.usage + result.usage
        return result

    def _write_output(self, result: RunResult[Any]) -> bytes:
        """Return the output of a run within as JSON; empty for a run without an output."""
        if result.output is None:
            return b""
        return msgspec.json.encode(result.output, enc_hook=_encode_part)

    def _read_result(self, runnable: Runnable[Any, OutputT], done: StepEnded) -> RunResult[OutputT]:
        """Return the result of a run within, carried out by an earlier process."""
        stored = msgspec.json.decode(done.value, type=StoredResult)
        return RunResult(
            done.run or "",
            "completed",
            stored.content,
            self._job.resolved.read_output(runnable, stored.content, bytes(stored.output)),
            stored.messages,
            done.usage or NO_USAGE,
            finish_reason=stored.finish_reason,
            reasoning=stored.reasoning,
        )


def _encode_part(value: Any) -> Any:
    return plain_value(value, round_trip=True)


def _name_run(runnable: Any) -> str:
    return str(getattr(runnable, "name", "") or getattr(runnable, "kind", "run"))


def _uncertain_error(place: Place, run: str) -> StepUncertain:
    hint = (
        "Look whether it took effect. To do it again, fork the run before the step and resume the fork; or declare "
        "@step(idempotent=True) if it may be done twice; or catch StepUncertain in the workflow."
    )
    problem = f"{place.path} of run {run!r} had begun when the program ended; nobody knows whether it was done"
    return StepUncertain(problem, path=place.path, hint=hint)


def _check_block_limits(limits: Limits) -> None:
    for field in attrs.fields(Limits):
        if field.name not in _BLOCK_LIMITS and getattr(limits, field.name) != field.default:
            hint = f"Give it to the runnable or to the runtime; a block takes {', '.join(sorted(_BLOCK_LIMITS))}."
            raise UsageError(f"limit {field.name} does not hold for a block of a workflow", hint=hint)
