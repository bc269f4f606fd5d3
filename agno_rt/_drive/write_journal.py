"""Writes the journal of a run under way, step by step, and looks up entries of an earlier process.

Each step is durable before the next begins. Knows the store only as a `RunStore`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import attrs
import msgspec
import trio

from agno_rt._decide.journal import (
    NO_STATE,
    Answered,
    Begun,
    Body,
    Called,
    Checked,
    Ended,
    Paused,
    Received,
    Replay,
    Reviewed,
    Started,
    encode_entries,
    encode_entry,
)
from agno_rt._decide.tool_results import Told
from agno_rt._decide.turns import Turns
from agno_rt._drive.news import News
from agno_rt.errors import AgnoError, BackendError, RunCancelled, RunInterrupted, UsageError, code_of
from agno_rt.failures import add_note, must_pass, named, text_of
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelResponse
from agno_rt.result import RunResult
from agno_rt.run_store import (
    Appending,
    Approval,
    FlowStore,
    LeaseLost,
    Renewal,
    RunChange,
    RunConflict,
    RunRecord,
    RunStatus,
    RunStore,
    Signal,
)

if TYPE_CHECKING:
    from agno_rt._drive.inbox import Inbox  # few runs are sent anything
    from agno_rt._drive.scopes import AnyScope

__all__ = ["END_SECONDS", "Journal", "Turn", "text_of_input"]

T = TypeVar("T")

END_SECONDS = 5.0
"""Seconds to store the end of a run that is being cancelled."""


def text_of_input(input: Sequence[Message]) -> str:
    """Return the text of the last user message, for lists of runs."""
    for message in reversed(input):
        if message.role == "user":
            return message.text
    return ""


class _Waiter(msgspec.Struct, eq=False):
    """A write that waits for another one. `bodies` is empty if the write cannot be made together with others.

    `state` is `taken` while another task makes the write, `owner` once the waiter has the turn.
    """

    task: trio.lowlevel.Task
    bodies: tuple[Body, ...] = ()
    state: Literal["waiting", "taken", "owner", "done"] = "waiting"
    error: BaseException | None = None


class Turn(msgspec.Struct, eq=False):
    """A lock for one write at a time. Taking a free turn is not a pass of trio's scheduler, as with `trio.Lock`.

    A pass costs more than a write to memory. Whoever drives the run lets others run often enough. Entries that wait
    while a slow store writes are written together: the first in line takes them over.
    """

    is_taken: bool = False
    waiting: list[_Waiter] = []

    async def wait(self, bodies: tuple[Body, ...] = ()) -> bool:
        """Wait for the turn, and return True; or return False once another task has written the bodies.

        Raises the error of the other task's write.
        """
        waiter = _Waiter(trio.lowlevel.current_task(), bodies)
        self.waiting.append(waiter)

        def abort(raise_cancel: object) -> trio.lowlevel.Abort:
            if waiter.state != "waiting":
                return trio.lowlevel.Abort.FAILED  # as with a write of its own that has begun
            self.waiting.remove(waiter)
            return trio.lowlevel.Abort.SUCCEEDED

        while waiter.state == "waiting":
            await trio.lowlevel.wait_task_rescheduled(abort)
        if waiter.error is not None:
            raise waiter.error
        return waiter.state == "owner"

    def take_over(self) -> Sequence[_Waiter]:
        """Return the waiting writes to make together with the owner's, for `finish`."""
        taken = [each for each in self.waiting if each.bodies]
        for each in taken:
            each.state = "taken"
        self.waiting = [each for each in self.waiting if not each.bodies]
        return taken

    def finish(self, taken: Sequence[_Waiter], error: BaseException | None) -> None:
        """End the writes that were taken over. After a cancellation of the owner they wait again."""
        is_cancelled = error is not None and must_pass(error)
        for each in taken:
            each.state = "waiting" if is_cancelled else "done"
            each.error = None if is_cancelled else error
            if not is_cancelled:
                trio.lowlevel.reschedule(each.task)
        if is_cancelled:
            self.waiting[:0] = taken

    def leave(self) -> None:
        """Give the turn to the first in line, if any."""
        if not self.waiting:
            self.is_taken = False
            return
        waiter = self.waiting.pop(0)
        waiter.state = "owner"
        trio.lowlevel.reschedule(waiter.task)

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.is_taken:
            await self.wait()
        self.is_taken = True

    async def __aexit__(self, *exc: object) -> None:
        self.leave()


_NOBODY: Sequence[_Waiter] = ()


class Journal(msgspec.Struct, eq=False):
    """The journal of one run: `record` is the run to store, `replay` the entries of an earlier process.

    `state` encodes the session's state. `decided` has the approvals of a run that was paused, by turn and call;
    `waiting` has the approvals for which the run pauses now. `gone` is called when the run is no longer under way.
    `owe` takes a function that stores the run's end, to call again later if the end cannot be stored now. `output` and
    `again` are a workflow's for its end, see `Ended`. `forced` tells that the run was taken over by force; `signals`
    are the signals of a resumed run. `paused_within` has the results of paused runs within the calls of the present
    process, each with the time at which the run goes on and the signals seen, see `AskedWithin`. `first` is the first
    entry, once it is stored. `news` tells of decisions and signals. `wakes` is set if the runtime wakes paused runs,
    `is_within` for a run within a flow, which the flow wakes. `late` has entries to store together with the next one,
    `cut` the calls that a stop has cut off, by turn and id. `hold` holds the runtime's lease and returns the owner's
    name, if the store needs leases; `lost` is set when the lease was lost: nothing is written then. `flush` stores the
    events that the run has sent, if they are logged. `scope` is the scope of a run in the caller's task.
    """

    store: RunStore
    record: RunRecord
    owner: str
    gone: Callable[[], None]
    owe: Callable[[Callable[[], Awaitable[None]]], None]
    news: News
    replay: Replay | None = None
    waiting: tuple[Approval, ...] = ()
    decided: dict[tuple[int, str], Approval] = {}
    seq: int = 0
    begun: bool = False
    let_go: bool = False
    state: Callable[[], bytes] | None = None
    turn: Turn = msgspec.field(default_factory=Turn)
    output: msgspec.Raw = NO_STATE
    again: tuple[str, ...] = ()
    forced: bool = False
    signals: Sequence[Signal] = ()
    paused_within: dict[str, tuple[RunResult, float | None, Mapping[str, int]]] | None = None
    first: Begun | None = None
    wakes: bool = False
    is_within: bool = False
    late: tuple[Body, ...] = ()
    hold: Callable[[], Awaitable[str]] | None = None
    lost: LeaseLost | None = None
    flush: Callable[[], Awaitable[None]] | None = None
    scope: AnyScope | None = None
    cut: tuple[tuple[int, str], ...] = ()

    @property
    def input(self) -> tuple[Message, ...]:
        """The original input of a resumed run."""
        assert self.replay is not None
        return self.replay.begun.input

    @property
    def id(self) -> str:
        """The name of this journal, different for each journal of a run: the run's id, for the first one."""
        before = 0 if self.first is None else self.first.generation
        return f"{self.record.id}~{before + 1}" if before else self.record.id

    def flow_store(self, what: str) -> FlowStore:
        """Return the store as a `FlowStore`. Raises `UsageError`, naming `what` needs one."""
        if isinstance(self.store, FlowStore):
            return self.store
        hint = "Use one that does, such as 'sqlite:///agents.db' or 'memory:'."
        raise UsageError(f"{what} needs a FlowStore; {type(self.store).__name__} is not one", hint=hint)

    async def begin(self, begun: Begun) -> None:
        """Store the run, with its input and the messages shown to the model."""
        if self.hold is not None:
            self.owner = await self._stored(self.hold())  # the name has changed if the run had to wait for long
            self.record = attrs.evolve(self.record, owner=self.owner)
        await self._stored(self.store.create_run(self.record, [encode_entry(0, begun, time.time())]))
        self.begun, self.seq, self.first = True, 1, begun

    async def renew(self, begun: Begun, taken: Sequence[int]) -> None:
        """End this journal and begin the next, in one step; `taken` has the numbers of the signals that were received.

        Raises `UsageError` for a store that cannot.
        """
        store = self.flow_store("flow.again")
        async with self.turn:
            begun.state = self._state()
            now, archive = time.time(), f"{self.record.id}~{begun.generation}"
            last, first = encode_entry(self.seq, Ended("continued"), now), encode_entry(0, begun, now)
            renewal = Renewal(archive, last, first, text_of_input(begun.input), taken)
            await self._stored(store.renew_run(self.record.id, renewal, owner=self.owner))
            self.seq, self.first, self.replay = 1, begun, None
            self.decided, self.waiting, self.again = {}, (), ()

    async def answered(self, turns: Turns, response: ModelResponse, *, is_last: bool = False) -> None:
        """Store a response of the model, before the run acts on the response.

        With `is_last` no code but the kernel's follows before the run's next entry: the two are stored together.
        """
        # The first response's usage is stored as it is, without a sum.
        usage = (
            response.usage if turns.usage.total_tokens == 0 and not turns.usage.cost else turns.usage + response.usage
        )
        body = Answered(
            turns.turn,
            response.content,
            tuple(response.tool_calls),
            response.reasoning,
            response.finish_reason,
            response.usage,
            usage,
            NO_STATE if self.state is None else msgspec.Raw(self.state()),
            response.native,
            response.request_id,
            response.raw_finish_reason,
            compacted=None if turns.view is None else turns.view.take_fresh(),
        )
        if is_last:
            self.late, body.at = (body,), time.time()
        else:
            await self.add(body)

    async def received(
        self, messages: tuple[Message, ...], sent: tuple[str, ...] = (), to: tuple[str, ...] | None = None
    ) -> None:
        """Store messages that were sent to the run, before the run acts on them. See `Received`."""
        await self.add(Received(messages, sent, to))

    async def checked(self, reason: str | None) -> None:
        """Store the verdict of the output's check."""
        await self.add(Checked(reason))

    def told(self, turns: Turns, call: ToolCall) -> Message | None:
        """Return the call's result from an earlier process, or `None`."""
        done = None if self.replay is None else self.replay.results.get((turns.turn, call.id))
        return None if done is None else Message("tool", done.content, (), call.id, call.name)

    def under_way(self, turns: Turns, call: ToolCall) -> bool:
        """Return whether an earlier process began the call and ended before the call did."""
        return self.replay is not None and (turns.turn, call.id) in self.replay.started

    def waited(self, turns: Turns, call: ToolCall) -> bool:
        """Return whether the call waited for a run within when an earlier process paused the run."""
        return self.replay is not None and (turns.turn, call.id) in self.replay.waited

    async def reviewed(self, review: Reviewed) -> None:
        """Store the review of a call, before the run acts on the review."""
        await self.add(review)

    async def starting(self, turns: Turns, call: ToolCall) -> None:
        """Store the beginning of a call that must not be made twice."""
        await self.add(Started(turns.turn, call.id))

    async def called(self, turns: Turns, call: ToolCall, told: Told, counts: Mapping[str, int] | None) -> None:
        """Store the result of a call; `counts` has the number of calls so far of each tool with a limit."""
        status, content = told
        state, kept = self._state(), None if counts is None else dict(counts)
        await self.add(Called(turns.turn, call.id, call.name, status, content, turns.usage, state, kept))

    async def add(self, *bodies: Body) -> None:
        """Store entries, all or none, before the caller goes on."""
        # Once here, and not in each store: a store in memory has nothing to wait for.
        await trio.lowlevel.checkpoint_if_cancelled()
        turn, taken = self.turn, _NOBODY
        if not turn.is_taken:
            turn.is_taken = True
        elif not await turn.wait(bodies):
            return
        elif taken := turn.take_over():
            bodies = (*bodies, *(body for each in taken for body in each.bodies))
        error: BaseException | None = None
        try:
            entries = encode_entries(self.seq, (*self.late, *bodies) if self.late else bodies, time.time())
            await self.store.write_run(self.record.id, entries, owner=self.owner)
            self.seq, self.late = self.seq + len(entries), ()
        except BaseException as exc:
            error = self._name_failure(exc)
            if error is exc:
                raise
            raise error from exc
        finally:
            if turn.waiting or taken:
                turn.finish(taken, error)
                turn.leave()
            else:
                turn.is_taken = False
            del error

    async def ask(self, approval: Approval) -> None:
        """Store an approval while the run is under way, so that people may decide; without a `FlowStore`, later."""
        if isinstance(self.store, FlowStore):
            await self._stored(self.store.add_approvals(self.record.id, [approval], owner=self.owner))
            self.decided[0, approval.call.id] = approval

    async def pause(
        self,
        signals: int | None = None,
        wakes_at: float | None = None,
        *,
        waits_for: Sequence[str] = (),
        calls: Sequence[tuple[int, str]] = (),
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Store the pause and the new approvals in `waiting`. No process owns the run after that.

        The run goes on by itself at `wakes_at`, or when an approval expires. `calls` wait for runs within, and are made
        again; `counts` has the number of calls of each bounded tool. Raises `SignalsWaiting` if the run has more than
        so many `signals`, or if a stored approval of `waits_for` was decided meanwhile.
        """
        # A workflow also waits for the approvals of the runs within, which these have stored.
        own = [each for each in self.waiting if each.run == self.record.id]
        new = [each for each in own if (each.turn, each.call.id) not in self.decided]
        ends = [each for each in (wakes_at, *(approval.expires_at for approval in self.waiting)) if each is not None]
        change = RunChange(
            "paused",
            approvals=new,
            signals=signals,
            wakes_at=None if self.is_within else min(ends, default=None),
            waits_for=waits_for,
        )
        kept = None if counts is None else dict(counts)
        await self._let_go(Paused([each.id for each in self.waiting], tuple(calls), kept), change)

    async def end(
        self, content: str, append: Appending | None, inbox: Inbox | None, error: RunCancelled | None = None
    ) -> None:
        """Store the end of the run and its messages for the session in one step; the `error` is an interruption.

        Raises `SignalsWaiting` if the run has signals that it has not seen, or messages that it has not taken in.
        """
        if error is not None:
            change = RunChange("cancelled", content, text_of(error), code_of(error), append=append)
            await self._let_go(Ended("cancelled", text_of(error)), change)
            return
        if inbox is not None and inbox.waiting:
            inbox.check_taken()
        signals = 0 if inbox is None else inbox.seen
        ended = Ended("completed", None, self.output)
        # Questions of branches that others cancelled.
        withdrawn = [each.id for each in self.decided.values() if each.status == "pending"] if self.decided else ()
        change = RunChange("completed", content, append=append, signals=signals, withdrawn=withdrawn)
        await self._let_go(ended, change)

    async def broken_off(self, status: RunStatus, content: str, error: BaseException) -> None:
        """Store the end of a run without an answer, even while the run is being cancelled.

        A failure to store becomes a note, and the end is owed: no other process may resume the run before that.
        """
        if not self.begun or self.let_go or self.lost is not None:
            return
        plain = status == "cancelled" and not isinstance(error, RunInterrupted)
        text, code = (None, None) if plain else (text_of(error), code_of(error))
        ended = Ended(status, text, again=self.again, calls=self.cut)
        store_end = functools.partial(self._end_anyhow, ended, RunChange(status, content, text, code))
        try:
            with trio.move_on_after(END_SECONDS, shield=True):
                await store_end()
        except BaseException as exc:
            if must_pass(exc):
                raise
            why = text_of(exc) if isinstance(exc, AgnoError) else named(exc)
            add_note(error, f"The end of the run could not be stored: {why}")
        if not self.let_go:
            self.owe(store_end)

    async def _end_anyhow(self, ended: Ended, change: RunChange) -> None:
        try:
            await self._let_go(ended, change)
        except RunConflict:
            # An earlier write seemed to fail, and yet was stored: take the number of entries from the store.
            stored, _ = await self.store.load_run(self.record.id)
            if stored.owner != self.owner:
                self.let_go = True  # taken over: the end is not this runtime's to store
                return
            if stored.entries > self.seq:
                self.seq, self.late = stored.entries, ()
            await self._let_go(ended, change)

    async def _let_go(self, body: Body, change: RunChange) -> None:
        if self.flush is not None:
            await self.flush()  # only an owner that has logged before may log the last event later
        async with self.turn:
            change.entries = encode_entries(self.seq, (*self.late, body), time.time())
            await self._stored(self.store.change_run(self.record.id, change, owner=self.owner))
            self.let_go, self.late = True, ()

    def _state(self) -> msgspec.Raw:
        return NO_STATE if self.state is None else msgspec.Raw(self.state())

    async def _stored(self, operation: Awaitable[T]) -> T:
        try:
            return await operation
        except BaseException as exc:
            if (error := self._name_failure(exc)) is exc:
                raise
            raise error from exc

    def _name_failure(self, exc: BaseException) -> BaseException:
        """Return the error to raise for an exception of the store."""
        if isinstance(exc, AgnoError) or must_pass(exc):
            return exc
        return BackendError(f"the memory backend failed on run {self.record.id!r}: {named(exc)}")
