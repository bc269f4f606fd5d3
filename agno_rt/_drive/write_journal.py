"""Writes the journal of a run under way, step by step, and looks up entries of an earlier process.

Each step is durable before the next begins. Knows the store only as a `RunStore`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

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
    Started,
    StepBegun,
    StepEnded,
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

__all__ = ["END_SECONDS", "Journal", "Turn", "text_of_input"]

T = TypeVar("T")

END_SECONDS = 5.0
"""Seconds to store the end of a run that is being cancelled."""


def text_of_input(input: Sequence[Message]) -> str:
    """Return the text of the last user message, for lists of runs."""
    return next((message.text for message in reversed(input) if message.role == "user"), "")


class Turn:
    """A lock for one write at a time. Taking a free turn is not a pass of trio's scheduler, as with `trio.Lock`.

    A pass costs more than a write to memory. Whoever drives the run lets others run often enough.
    """

    __slots__ = ("_is_taken", "_waiting")

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        if self._is_taken:
            await self._waiting.park()  # whoever ends the turn hands it over
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._is_taken = True

    async def __aexit__(self, *exc: object) -> None:
        if self._waiting:
            self._waiting.unpark()
        else:
            self._is_taken = False


class Journal(msgspec.Struct, eq=False):
    """The journal of one run: `record` is the run to store, `replay` the entries of an earlier process.

    `state` encodes the session's state. `decided` has the approvals of a run that was paused, by turn and call;
    `waiting` has the approvals for which the run pauses now. `gone` is called when the run is no longer under way.
    `owe` takes a function that stores the run's end, to call again later if the end cannot be stored now. `output` and
    `again` are a workflow's for its end, see `Ended`. `forced` tells that the run was taken over by force; `signals`
    are the signals of a resumed run. `paused_within` has the results of paused runs within the calls of the present
    process. `first` is the first entry, once it is stored. `news` tells of decisions and signals. `wakes` is set if the
    runtime wakes paused runs, `is_within` for a run within a flow, which the flow wakes.
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
    paused_within: dict[str, RunResult] | None = None
    first: Begun | None = None
    wakes: bool = False
    is_within: bool = False

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

    async def answered(self, turns: Turns, response: ModelResponse) -> None:
        """Store a response of the model, before the run acts on the response."""
        # The first response's usage is stored as it is, without a sum.
        usage = (
            response.usage if turns.usage.total_tokens == 0 and not turns.usage.cost else turns.usage + response.usage
        )
        await self._write(
            Answered(
                turns.turn,
                response.content,
                tuple(response.tool_calls),
                response.reasoning,
                response.finish_reason,
                response.usage,
                usage,
                self._state(),
                response.native,
                response.request_id,
                response.raw_finish_reason,
            )
        )

    async def received(
        self, messages: tuple[Message, ...], sent: tuple[str, ...] = (), to: tuple[str, ...] | None = None
    ) -> None:
        """Store messages that were sent to the run, before the run acts on them. See `Received`."""
        await self._write(Received(messages, sent, to))

    async def checked(self, reason: str | None) -> None:
        """Store the verdict of the output's check."""
        await self._write(Checked(reason))

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

    async def starting(self, turns: Turns, call: ToolCall) -> None:
        """Store the beginning of a call that must not be made twice."""
        await self._write(Started(turns.turn, call.id))

    async def called(self, turns: Turns, call: ToolCall, told: Told, counts: Mapping[str, int] | None) -> None:
        """Store the result of a call; `counts` has the number of calls so far of each tool with a limit."""
        status, content = told
        state, kept = self._state(), None if counts is None else dict(counts)
        await self._write(Called(turns.turn, call.id, call.name, status, content, turns.usage, state, kept))

    async def add(self, *bodies: StepBegun | StepEnded) -> None:
        """Store beginnings and ends of a workflow's steps, all or none."""
        async with self.turn:
            now = time.time()
            entries = [encode_entry(seq, body, now) for seq, body in enumerate(bodies, self.seq)]
            await self._stored(self.store.write_run(self.record.id, entries, owner=self.owner))
            self.seq += len(entries)

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
        if not self.begun or self.let_go:
            return
        plain = status == "cancelled" and not isinstance(error, RunInterrupted)
        text, code = (None, None) if plain else (text_of(error), code_of(error))
        ended = Ended(status, text, again=self.again)
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
            self.seq = stored.entries
            await self._let_go(ended, change)

    async def _write(self, body: Body) -> None:
        # One write at a time: tools end in any order, and a write cancelled while it waits must not leave a gap.
        async with self.turn:
            await self._stored(
                self.store.write_run(self.record.id, [encode_entry(self.seq, body, time.time())], owner=self.owner)
            )
            self.seq += 1

    async def _let_go(self, body: Body, change: RunChange) -> None:
        async with self.turn:
            change = attrs.evolve(change, entries=(encode_entry(self.seq, body, time.time()),))
            await self._stored(self.store.change_run(self.record.id, change, owner=self.owner))
            self.let_go = True

    def _state(self) -> msgspec.Raw:
        return NO_STATE if self.state is None else msgspec.Raw(self.state())

    async def _stored(self, operation: Awaitable[T]) -> T:
        try:
            return await operation
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            raise BackendError(f"the memory backend failed on run {self.record.id!r}: {named(exc)}") from exc
