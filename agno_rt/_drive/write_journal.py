"""Writes the journal of a run under way, step by step, and knows what an earlier process wrote into it.

Each step is durable before the next one begins. Knows the store only as a `RunStore`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

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
    Replay,
    Started,
    encode_entry,
)
from agno_rt._decide.tool_results import Told
from agno_rt._decide.turns import Turns
from agno_rt.errors import AgnoError, BackendError, code_of
from agno_rt.failures import add_note, must_pass, named, text_of
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelResponse
from agno_rt.run_store import Appending, Approval, RunChange, RunConflict, RunRecord, RunStatus, RunStore

__all__ = ["END_SECONDS", "Journal"]

T = TypeVar("T")

END_SECONDS = 5.0
"""How long the end of a run may take to be stored, when the run is being cancelled."""


class Journal(msgspec.Struct, eq=False):
    """The journal of one run: `record` is the run as it is to be stored, `replay` what there is of it already.

    `state` gives the session's state as it is to be stored. `decided` has the approvals of a run that was paused, by
    turn and call. `gone` is called when the run is no longer under way; `waiting` is what it was
    paused for then. `owe` is given what stores the run's end where that cannot be stored now, to be called again.
    """

    store: RunStore
    record: RunRecord
    owner: str
    gone: Callable[[], None]
    owe: Callable[[Callable[[], Awaitable[None]]], None]
    replay: Replay | None = None
    waiting: tuple[Approval, ...] = ()
    decided: dict[tuple[int, str], Approval] = {}
    seq: int = 0
    begun: bool = False
    let_go: bool = False
    state: Callable[[], bytes] | None = None
    turn: trio.Lock = msgspec.field(default_factory=trio.Lock)

    async def begin(self, begun: Begun) -> None:
        """Store the run, with what it was asked and shown."""
        await self._stored(self.store.create_run(self.record, [encode_entry(0, begun, time.time())]))
        self.begun, self.seq = True, 1

    async def answered(self, turns: Turns, response: ModelResponse) -> None:
        """Store a response of the model, before anything is made of it."""
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
            )
        )

    async def checked(self, reason: str | None) -> None:
        """Store what the output's check said."""
        await self._write(Checked(reason))

    def told(self, turns: Turns, call: ToolCall) -> Message | None:
        """What the model was told of the call by an earlier process."""
        done = None if self.replay is None else self.replay.results.get((turns.turn, call.id))
        return None if done is None else Message("tool", done.content, (), call.id, call.name)

    def under_way(self, turns: Turns, call: ToolCall) -> bool:
        """Whether an earlier process began the call, and did not live to see its end."""
        return self.replay is not None and (turns.turn, call.id) in self.replay.started

    async def starting(self, turns: Turns, call: ToolCall) -> None:
        """Store that a call begins which must not be made twice."""
        await self._write(Started(turns.turn, call.id))

    async def called(self, turns: Turns, call: ToolCall, told: Told, counts: Mapping[str, int] | None) -> None:
        """Store the result of a call; `counts` is how often each bounded tool was called so far."""
        status, content = told
        state, kept = self._state(), None if counts is None else dict(counts)
        await self._write(Called(turns.turn, call.id, call.name, status, content, turns.usage, state, kept))

    async def pause(self) -> None:
        """Store what the run is `waiting` for, with those approvals that are new. Nobody owns it from here on."""
        new = [each for each in self.waiting if (each.turn, each.call.id) not in self.decided]
        await self._let_go(Paused([each.id for each in self.waiting]), RunChange("paused", approvals=new))

    async def end(self, status: RunStatus, content: str, error: BaseException | None, append: Appending | None) -> None:
        """Store the end of the run, with what it adds to its session, in one step. What is not completed can go on."""
        text = None if error is None else text_of(error)
        code = None if error is None else code_of(error)
        await self._let_go(Ended(status, text), RunChange(status, content, text, code, append=append))

    async def broken_off(self, status: RunStatus, content: str, error: BaseException) -> None:
        """Store that the run ended without an answer, whatever is being cancelled.

        What prevents it becomes a note, and the end is owed: nobody else may go on with the run before it is stored.
        """
        if not self.begun or self.let_go:
            return
        text, code = (None, None) if status == "cancelled" else (text_of(error), code_of(error))
        store_end = functools.partial(self._end_anyhow, Ended(status, text), RunChange(status, content, text, code))
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
            # A write that seemed to fail may have been stored all the same.
            stored, _ = await self.store.load_run(self.record.id)
            self.seq = stored.entries
            await self._let_go(ended, change)

    async def _write(self, body: Body) -> None:
        # One after the other, since tools end when they like, and what is cancelled before it began must leave no gap.
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
