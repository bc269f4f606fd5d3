"""Chooses the entries of a fork before a step, with another input, or with another result of the step. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

from agno_rt._decide.flow_journal import StoredResult
from agno_rt._decide.journal import (
    NO_STATE,
    Begun,
    Ended,
    Paused,
    StepBegun,
    StepEnded,
    encode_entry,
    read_entry,
    steps_again,
)
from agno_rt.errors import NotFound, UsageError
from agno_rt.messages import Message
from agno_rt.run_store import Entry

__all__ = ["change_input", "change_result", "entries_of_fork"]


def entries_of_fork(entries: Sequence[Entry], run: str, at: int | str | None) -> list[Entry]:
    """Return the first `at` entries, all entries without an end, or the entries independent of the step at a path.

    Raises `UsageError` for an unknown number, and `NotFound` for an unknown path.
    """
    if isinstance(at, str):
        return _entries_before(entries, run, at)
    taken = list(entries if at is None else entries[:at])
    if not taken or (at is not None and not 0 < at <= len(entries)):
        hint = f"Give a number from 1 to {len(entries)}: it has so many."
        raise UsageError(f"run {run!r} cannot be forked at entry {at}", hint=hint)
    # A workflow's end stays: it names the steps to take again.
    while taken and taken[-1].kind in ("paused", "ended") and not steps_again(taken[-1], run):
        taken = taken[:-1]
    return _number_anew(taken, run)


def _entries_before(entries: Sequence[Entry], run: str, path: str) -> list[Entry]:
    """Return the entries independent of the step at the path: a fork takes the step again.

    Steps of other branches are independent, whenever they were stored.
    """
    step = _find_step(entries, run, path)
    return _number_anew([entry for entry in entries if not _depends(read_entry(entry, run), step)], run)


def _find_step(entries: Sequence[Entry], run: str, path: str) -> StepBegun | StepEnded:
    """Return the last body of the step at the path. Raises `NotFound`."""
    bodies = (read_entry(entry, run) for entry in entries)
    steps = {body.path: body for body in bodies if isinstance(body, StepBegun | StepEnded)}
    if path not in steps:
        raise NotFound("step", path, [known for known in steps if "#" in known])
    return steps[path]


def _depends(body: Any, step: StepBegun | StepEnded) -> bool:
    if isinstance(body, Paused | Ended):
        return not (isinstance(body, Ended) and body.again)
    if not isinstance(body, StepBegun | StepEnded):
        return False
    for at, (number, other) in enumerate(zip(body.trail, step.trail, strict=False)):
        if number != other:
            # A trail alternates places in a scope, which follow one another, with branches, which do not.
            return at % 2 == 0 and number > other
    return True


def _number_anew(taken: Sequence[Entry], run: str) -> list[Entry]:
    """Return the entries numbered from 0, as those of a new run.

    The steps forget the numbers of the source's signals, since the fork's own signals have the same numbers. A fork
    of a fork counts the entries of the first source again.
    """
    numbered = []
    for seq, entry in enumerate(taken):
        body = read_entry(entry, run) if entry.kind in ("begun", "step_ended") else None
        if isinstance(body, Begun) and body.forked:
            body.forked = sum(1 for each in taken if each.seq < body.forked)
        elif isinstance(body, StepEnded) and body.signal:
            body.signal = 0
        else:
            numbered.append(attrs.evolve(entry, seq=seq))
            continue
        numbered.append(encode_entry(seq, body, body.at))
    return numbered


def change_input(taken: Sequence[Entry], run: str, input: tuple[Message, ...], at: int | str | None) -> list[Entry]:
    """Return the entries with another input of the run. Raises `UsageError` for answers of a model before `at`.

    A model's answers follow from the input, so a fork of an agent's run begins anew. The steps of a workflow stay,
    and are compared with their new arguments.
    """
    begun = read_entry(taken[0], run)
    assert isinstance(begun, Begun), "a journal begins with the input"
    if any(entry.kind == "answered" for entry in taken):
        if at is not None:
            hint = "Leave the place out: a run with another input begins with its first turn."
            raise UsageError(f"run {run!r} cannot keep {_count_answers(taken)} with another input", hint=hint)
        taken = taken[:1]
    begun.input, begun.forked = input, len(taken)
    return [encode_entry(0, begun, begun.at), *taken[1:]]


def _count_answers(taken: Sequence[Entry]) -> str:
    count = sum(1 for entry in taken if entry.kind == "answered")
    return f"{count} {'answer' if count == 1 else 'answers'} of the model"


def change_result(
    taken: Sequence[Entry], entries: Sequence[Entry], run: str, path: str, value: bytes, now: float
) -> list[Entry]:
    """Return the entries of a fork before the step at the path, and the step with another result, as JSON."""
    step = _find_step(entries, run, path)
    ended = StepEnded(path, step.trail, step.digest, msgspec.Raw(value), began=now)
    if isinstance(step, StepEnded) and step.run is not None:
        ended.run, ended.value = step.run, msgspec.Raw(msgspec.json.encode(_change_answer(step, value)))
    return [*taken, encode_entry(len(taken), ended, now)]


def _change_answer(step: StepEnded, value: bytes) -> StoredResult:
    """Return the result of a run within with another answer: a text, or the value of the output."""
    known = StoredResult("") if step.error is not None else msgspec.json.decode(step.value, type=StoredResult)
    answer = msgspec.json.decode(value)
    content = answer if isinstance(answer, str) else value.decode()
    has_output = bytes(known.output) != b"" or not isinstance(answer, str)
    messages = (*known.messages[:-1], attrs.evolve(known.messages[-1], content=content)) if known.messages else ()
    return StoredResult(content, msgspec.Raw(value) if has_output else NO_STATE, messages)
