"""Stores a fork of a run: a run of its own that begins with entries of the other, perhaps with changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

from agno_rt._decide.forks import change_input, change_result, entries_of_fork
from agno_rt._decide.input import Input, as_messages
from agno_rt._drive.approvals import wrap_answer
from agno_rt._drive.write_journal import text_of_input
from agno_rt._runtime.run_values import NO_RESULT, encode_value, fork_record
from agno_rt.errors import UsageError
from agno_rt.run_store import ASK, MOST_APPROVALS, Decision, Entry, RunRecord, RunStore

__all__ = ["ForkChange", "make_fork"]


class ForkChange(msgspec.Struct, eq=False):
    """The place of a fork, and what is changed there: see `Runtime.fork`."""

    at: int | str | None = None
    input: Input | None = None
    result: Any = NO_RESULT


async def make_fork(store: RunStore, record: RunRecord, entries: Sequence[Entry], change: ForkChange) -> str:
    """Store the fork and return its id. Raises `UsageError`, and `NotFound` for an unknown step."""
    taken = entries_of_fork(entries, record.id, change.at)
    fork = fork_record(record)
    if change.input is not None:
        messages = as_messages(change.input)
        taken = change_input(taken, record.id, messages, change.at)
        fork = attrs.evolve(fork, input=text_of_input(messages))
    if change.result is not NO_RESULT:
        if not isinstance(change.at, str):
            hint = "Name the step: at='work#1'. `agno-rt runs steps` lists the paths of a workflow's steps."
            raise UsageError(f"the fork of run {record.id!r} has a result and no step for it", hint=hint)
        value = await _encode_result(store, record.id, change.at, change.result)
        taken = change_result(taken, entries, record.id, change.at, value, time.time())
    await store.create_run(fork, taken)
    return fork.id


async def _encode_result(store: RunStore, run: str, path: str, result: Any) -> bytes:
    """Return the result as JSON; the answer to a question has the question's form. Raises `UsageError`."""
    text = encode_value(result, needed=True)
    asked = await store.approvals(run=run, limit=MOST_APPROVALS)
    if any(each.call.name == ASK and each.call.id == path for each in asked):
        text = wrap_answer(Decision("answered", text)).arguments
    return (text or "null").encode()
