"""The flow of a run under way: runs others within the run, at once or in turn, and names each step."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Never, TypeVar

import attrs
import msgspec
import trio

from agno_rt import events
from agno_rt._decide.budget import Budget
from agno_rt._decide.controls import check_signal_name
from agno_rt._decide.flow_input import input_for_run
from agno_rt._decide.flow_journal import child_id, digest_of
from agno_rt._decide.flow_paths import Place, PlaceCounter
from agno_rt._decide.input import as_messages
from agno_rt._decide.journal import StepEnded
from agno_rt._decide.turns import Turns
from agno_rt._drive.ids import new_id
from agno_rt._drive.job import AskedWithin, Job
from agno_rt._drive.nesting import OUTER
from agno_rt._drive.scopes import FlowScope, RunStopped
from agno_rt._flow.announce import announce
from agno_rt._flow.ask import Questions
from agno_rt._flow.block_limits import check_block_limits, hold_limits
from agno_rt._flow.group import LiveGroup
from agno_rt._flow.paused_usage import PausedUsage
from agno_rt._flow.record import FlowRecord
from agno_rt._flow.results import read_result, write_result
from agno_rt._flow.scope import Scope
from agno_rt._flow.signals import Signals
from agno_rt._flow.step import take_step
from agno_rt._flow.waits import Wait, Waits
from agno_rt._schema.generics import OutputT
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.agent import limits_of
from agno_rt.errors import AgnoError, JournalMismatch, UsageError
from agno_rt.failures import named
from agno_rt.limits import Limits
from agno_rt.messages import Usage
from agno_rt.models import NO_USAGE
from agno_rt.result import RunResult
from agno_rt.runnable import Again, Ask, BackgroundRun, Flow, OnEnd, OnError, Runnable, Stop
from agno_rt.workflows.functions import SCOPE

if TYPE_CHECKING:
    from agno_rt._flow.background import FlowBackground
    from agno_rt.run_store import Approval

__all__ = ["LiveFlow"]

T = TypeVar("T")


class LiveFlow(Flow):
    """The flow of one run; the first scope belongs to the task of the run.

    `journal_id` is the name of the run's present journal, from which the ids of the runs within follow.
    """

    __slots__ = (
        "_counts_budget",
        "_questions",
        "_signals",
        "_turns",
        "background",
        "job",
        "journal_id",
        "paused",
        "record",
        "waits",
    )

    def __init__(self, job: Job[Any], turns: Turns, scope: FlowScope, *, counts_budget: bool = True) -> None:
        self.run_id = job.run_id
        self.session = None if job.session is None else job.session.id
        self.user = job.asked.user
        self.history = tuple(turns.messages[: turns.own])
        self.deps = job.asked.deps
        self.job = job
        self._turns = turns
        journal = job.journal
        self.waits = Waits(scope) if journal is None else Waits(scope, journal.news, may_sleep=journal.wakes)
        self.record = FlowRecord(job)
        # Made when the flow first asks or waits for a signal, as few flows do.
        self._questions: Questions | None = None
        self._signals: Signals | None = None
        self._counts_budget = counts_budget
        self.background: FlowBackground | None = None
        self.journal_id = job.run_id if journal is None else journal.id
        self.paused = PausedUsage(turns)

    @property
    def questions(self) -> Questions:
        """The questions of the flow to people."""
        if self._questions is None:
            self._questions = Questions(self.job, self.record, self.waits)
        return self._questions

    @property
    def signals(self) -> Signals:
        """The signals to the flow."""
        if self._signals is None:
            self._signals = Signals(self.run_id, self.record, self.waits)
        return self._signals

    async def carry_out(self, conduct: Callable[[Flow, Any], Awaitable[T]], input: Any) -> T | None:
        """Call `conduct` in the present task, the flow's main branch, and join the runs in the background.

        Return None if the flow paused or stopped. Raises `JournalMismatch` if steps of the journal are left.
        """
        counter = PlaceCounter()
        token = SCOPE.set(Scope(self, counter, trio.lowlevel.current_task()))
        try:
            with self.waits.scope:
                answer = await conduct(self, input)
                if not (self.record.is_new or self.waits.is_paused or self.waits.is_stopped):
                    self.record.check_end(counter.taken)
                if self.background is not None:
                    await self.background.join()
                return answer
            return None
        finally:
            SCOPE.reset(token)

    def spend(self, usage: Usage) -> None:
        """Count usage of this run by an earlier process."""
        self._spend(usage)

    @property
    def path(self) -> str:
        """See `Flow.path`."""
        return self._scope("path").counter.path

    @property
    def version(self) -> int:
        """See `Flow.version`."""
        return self.record.code_version or self.job.resolved.code_version

    # Not `async`, as few calls as possible: a run within costs little more than a run by itself.
    def run(
        self, runnable: Runnable[Any, OutputT], input: Any, *, session: str | None = None, name: str | None = None
    ) -> Coroutine[Any, Any, RunResult[OutputT]]:
        """See `Flow.run`."""
        scope = SCOPE.get()
        if scope.__class__ is not Scope or scope.flow is not self:
            scope = self._scope(name or _name_run(runnable))
        return self.run_in(scope, runnable, input, session=session, name=name)

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
        record = self.record
        if trio.lowlevel.current_task() is not scope.task:
            scope.check_task(name or _name_run(runnable))
        place = scope.counter.take(name or getattr(runnable, "name", "") or _name_run(runnable))
        if not record.is_new:
            record.check_place(place)
        given = input if input.__class__ is str or input is self.job.input else input_for_run(input)
        if self.waits.is_stopping:
            await self.waits.wait_for_stop(scope)
        if record.is_stored:
            return await self._run_stored(scope, place, runnable, given, session)
        asked = AskedWithin(session, self.user, self.deps, path=place.path)
        # Written out here, and not shared with `_run`: each run would have another coroutine.
        token = SCOPE.set(None)
        try:
            result: RunResult[OutputT] = await self.job.resolved.run(runnable, given, asked)
        except AgnoError as exc:
            await self._note_failure(scope, exc)
            raise
        finally:
            SCOPE.reset(token)
        if result.usage is not NO_USAGE:
            self._turns.usage = self._turns.usage + result.usage
        if result.status == "paused":
            self.paused.note(asked.path, result.usage, None)
        return result

    async def _run_stored(
        self, scope: Scope, place: Place, runnable: Runnable[Any, OutputT], given: Any, session: str | None
    ) -> RunResult[OutputT]:
        """Find the recorded result of the run, or carry the run out and record the result."""
        record = self.record
        child, began = child_id(self.journal_id, place.path), time.time()
        digest = digest_of(getattr(runnable, "name", ""), session, as_messages(given))
        if not record.is_new or scope.overdue is not None:
            done = self.find_step(place, digest, scope)
            if done is not None:
                return read_result(runnable, done, self.job.resolved.read_output)
        is_resumed, result = record.is_resumed, None
        while result is None or result.status == "paused":
            asked = AskedWithin(session, self.user, self.deps, path=place.path, child=child)
            asked.is_resumed, asked.is_forced = is_resumed, record.is_forced
            asked.may_sleep = self.waits.may_sleep
            try:
                result = await self._run(scope, runnable, given, asked)
            except AgnoError as exc:
                await record.fail(place, digest, exc, began=began, run=child)
                raise
            if result.status == "paused":
                await self.questions.wait_with(scope, result.approvals, asked.wakes_at, asked.signals)
                self.paused.take_back(place.path)
                is_resumed = True
        await record.end(place, digest, write_result(result), began=began, run=child, usage=result.usage)
        return result

    async def start(
        self,
        runnable: Runnable[Any, OutputT],
        input: Any,
        *,
        session: str | None = None,
        name: str | None = None,
        on_end: OnEnd = "wait",
    ) -> BackgroundRun[OutputT]:
        """See `Flow.start`."""
        from agno_rt._flow.background import FlowBackground  # few flows start runs in the background

        name = name or _name_run(runnable)
        scope = self._scope(name)
        place = self.take_place(scope, name)
        self.background = self.background or FlowBackground(self, self.job)
        return await self.background.start(scope, place, runnable, input, session, on_end)

    call_step = take_step

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
        failures: dict[int, AgnoError] = {}
        async with self.group(name) as group:

            async def compete(number: int, runnable: Runnable[Any, OutputT]) -> None:
                if winner not in (None, number):
                    return
                try:
                    result = await self.run(runnable, input)
                except JournalMismatch:
                    raise
                except AgnoError as exc:
                    failures[number] = exc
                    return
                winners.append((number, result))
                group.cancel()

            for number, runnable in enumerate(runnables):
                group.start(compete, number, runnable)
        if not winners:
            last = failures.pop(max(failures))  # whichever failed last: a resumed run raises the same error
            for other in failures.values():
                self.record.relate(last, other)
            raise last
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
        check_signal_name(signal)
        scope = self._scope(name)
        place = self.take_place(scope, name)
        return await self._announce(place, functools.partial(self.signals.wait, scope, place, signal, timeout))

    async def sleep(self, seconds: float, *, name: str = "sleep") -> None:
        """See `Flow.sleep`."""
        scope = self._scope(name)
        place = self.take_place(scope, name)
        digest = digest_of(seconds)
        if self.find_step(place, digest) is not None:
            return
        begun, now = self.record.begun(place), time.time()
        until = now + seconds if begun is None else begun.until
        if begun is None:
            await self.record.begin(place, digest, until)
        await self._announce(place, functools.partial(self._sleep, scope, until))
        await self.record.end(place, digest, b"null", began=until - seconds)

    async def _sleep(self, scope: Scope, until: float) -> None:
        await self.waits.wait(scope, Wait(until=until))
        await scope.retake_share()

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
        if self.find_step(place, "") is None:
            await self.record.end(place, "", b"true", began=time.time())
        return True

    async def emit(self, name: str, value: Any = None) -> None:
        """See `Flow.emit`."""
        counter = self._scope(f"the event {name}").counter
        emitter = self.job.emitter
        if emitter is None or self.record.has_more(counter.path, counter.next_place[-1]):
            return
        try:
            plain = msgspec.to_builtins(value, enc_hook=plain_value)
        except (TypeError, ValueError, RecursionError) as exc:
            hint = "Give a value that JSON can carry."
            raise UsageError(f"the event {name!r} cannot be sent: {named(exc)}", hint=hint) from exc
        await emitter.send(events.Emitted(self.run_id, counter.path, name, plain))

    async def given(self, name: str, value: bytes | None) -> bytes | None:
        """See `Flow.given`."""
        counter = self._scope(name).counter
        if self.record.is_resumed:
            if not self.record.is_at(counter.path, counter.next_place[-1], counter.preview(name)):
                return None
        elif value is None:
            return None
        place = self.take_place(self._scope(name), name)
        done = self.find_step(place, "")
        if done is not None:
            return bytes(done.value)
        assert value is not None, "a resumed run has the value, and a new one was given it"
        await self.record.end(place, "", value, began=time.time())
        return value

    def stop(self, reason: str = "") -> Never:
        """See `Flow.stop`."""
        return Stop(reason)  # type: ignore[misc]  # see there

    def again(self, input: Any) -> Never:
        """See `Flow.again`."""
        return Again(input)  # type: ignore[misc]  # see there

    @contextmanager
    def limits(self, limits: Limits | Mapping[str, Any]) -> Iterator[None]:
        """See `Flow.limits`."""
        limits = limits_of(limits)
        check_block_limits(limits)
        scope = self._scope("limits")
        with hold_limits(limits, scope, self.take_place(scope, "limits"), self.record):
            yield

    async def wait_for_run(self, approvals: Sequence[Approval], asked: AskedWithin) -> None:
        """Wait in the present branch until a paused run within, with the approvals, may go on."""
        await self.questions.wait_with(self._scope("wait"), approvals, asked.wakes_at, asked.signals)

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

    def find_step(self, place: Place, digest: str, scope: Scope | None = None) -> StepEnded | None:
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

    def _announce(self, place: Place, work: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        return announce(self.job, self.record, self.waits, place, work)

    async def _draw(self, name: str, type_: type[T], draw: Callable[[], T]) -> T:
        """Return a recorded value, drawn once."""
        place = self.take_place(self._scope(name), name)
        value = self._recall(place, type_)
        if value is None:
            value = draw()
            await self._store(place, value)
        return value

    def _recall(self, place: Place, type_: type[T]) -> T | None:
        done = self.find_step(place, "")
        return None if done is None else msgspec.json.decode(done.value, type=type_)

    async def _store(self, place: Place, value: Any) -> None:
        await trio.lowlevel.checkpoint()  # in memory nothing waits, and a workflow may draw values for ever
        await self.record.end(place, "", msgspec.json.encode(value), began=time.time())

    async def _run(
        self, scope: Scope, runnable: Runnable[Any, OutputT], input: Any, asked: AskedWithin
    ) -> RunResult[OutputT]:
        """Run the runnable as a stored run in the present task, and count the usage."""
        turns, outer = self._turns, OUTER.get()
        token, meter, metered = SCOPE.set(None), None, None
        if outer is not None and outer.budget is not None:
            # What the run spends, with all runs within: it is taken back if the run goes on from its journal here.
            meter = Budget(Limits(), outer.budget)
            metered = OUTER.set(msgspec.structs.replace(outer, budget=meter))
        try:
            result: RunResult[OutputT] = await self.job.resolved.run(runnable, input, asked)
        except AgnoError as exc:
            await self._note_failure(scope, exc)
            raise
        finally:
            SCOPE.reset(token)
            if metered is not None:
                OUTER.reset(metered)
        if result.usage is not NO_USAGE:
            turns.usage = turns.usage + result.usage
        if result.status == "paused":
            self.paused.note(asked.path, result.usage, meter)
        return result

    async def _note_failure(self, scope: Scope, error: AgnoError) -> None:
        """Count the usage of a failed run within; wait for the end of the flow if the flow's stop has ended the run."""
        if error.result is not None:
            self._turns.usage = self._turns.usage + error.result.usage
        if isinstance(error, RunStopped) and self.waits.is_stopping:
            await self.waits.wait_for_stop(scope)


def _name_run(runnable: Any) -> str:
    return str(getattr(runnable, "name", "") or getattr(runnable, "kind", "run"))
