"""The typed state of a declared workflow: one copy for each branch, joined at the end of a group.

A state is never changed in place. A function gets a copy, and the copy becomes the branch's state when the function has
ended; so branches may share a state, and a failed attempt leaves nothing behind.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Annotated, Any, get_args, get_origin

import msgspec

from agno_rt._schema.describe import type_decoder
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import StateConflict, UsageError, suggest
from agno_rt.failures import must_pass, named
from agno_rt.workflows._cel_types import describe_class, list_fields
from agno_rt.workflows.reducers import Reducer, find_reducer

__all__ = ["STATE", "BranchState", "StateType"]


class StateType:
    """The class of a workflow's state, with the reducers of its fields. Raises `UsageError` for an unusable class."""

    def __init__(self, type_: type) -> None:
        self.type = type_
        self.name = str(getattr(type_, "__name__", type_))
        self.reducers: dict[str, Reducer | None] = dict.fromkeys(_list_fields(type_, self.name))
        self._read = type_decoder(type_)
        try:
            hints = typing.get_type_hints(type_, include_extras=True)
            first = type_()
            for field in self.reducers:
                setattr(first, field, getattr(first, field))
            self.described = describe_class(type_)
        except BaseException as exc:
            if must_pass(exc):
                raise
            hint = "Give each field a type that can be read and a default; the class must not be frozen."
            raise UsageError(f"the state {self.name} cannot be used: {named(exc)}", hint=hint) from exc
        for field in self.reducers:
            notes = get_args(hints[field])[1:] if get_origin(hints[field]) is Annotated else ()
            self.reducers[field] = next(filter(None, map(find_reducer, notes)), None)
        self.read(self.write(first, f"the state {self.name}"))

    def make(self) -> Any:
        """Return a new state with the defaults of the fields."""
        return self.type()

    def copy(self, state: Any) -> Any:
        """Return a copy of the state, with nothing shared."""
        return self.read(_encode(state))

    def read(self, text: bytes) -> Any:
        """Return the state from JSON."""
        try:
            return self._read(text)
        except msgspec.MsgspecError as exc:
            hint = "Give the fields types that hold what the functions put there."
            raise UsageError(f"the state does not fit {self.name}: {exc}", hint=hint) from exc

    def read_given(self, text: str | bytes) -> Any:
        """Return the state of a caller from JSON. Raises `UsageError` with the unknown or unfit field."""
        hint = f"Give an object with some of the fields {', '.join(self.reducers)}."
        try:
            given = msgspec.json.decode(text)
            state = self._read(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
            raise UsageError(f"the given state does not fit {self.name}: {exc}", hint=hint) from exc
        if unknown := sorted(given.keys() - self.reducers.keys()):
            hint = suggest("field", unknown[0], self.reducers)
            raise UsageError(f"the given state has {unknown[0]!r}, which {self.name} does not have", hint=hint)
        return state

    def write(self, state: Any, place: str) -> bytes:
        """Return the state as JSON. Raises `UsageError` that names a field which would come back as another value."""
        try:
            text = _encode(state)
            read = self._read(text)
        except (TypeError, ValueError, RecursionError) as exc:
            hint = "Keep to values that JSON can carry, of the types that the fields declare."
            raise UsageError(f"{place} left a state that cannot be stored: {named(exc)}", hint=hint) from exc
        for field in self.reducers:
            value, again = getattr(state, field), getattr(read, field, None)
            if type(value) is not type(again) or value != again:
                hint = f"Declare the type of {field} fully, as in list[Price], and give its class an equality."
                problem = f"{place} left {self.name}.{field} = {value!r:.80}, which is stored as {again!r:.80}"
                raise UsageError(problem, hint=hint)
        return text

    def join(self, base: Any, branches: Iterable[tuple[str, Any]], place: str) -> Any:
        """Return the state after a group: `base` with the changes of the branches. Raises `StateConflict`."""
        ended = list(branches)
        joined = self.copy(base)
        for field, reducer in self.reducers.items():
            before = getattr(base, field)
            writers = [(path, value) for path, state in ended if (value := getattr(state, field)) != before]
            if not writers:
                continue
            ours, value = writers[0]
            for theirs, other in writers[1:]:
                if reducer is None:
                    raise _conflict_error(self.name, field, place, f"{ours} and {theirs}", "and it has no reducer")
                try:
                    value = reducer(before, value, other)
                except BaseException as exc:
                    if must_pass(exc):
                        raise
                    reason = f"and its reducer failed: {named(exc)}"
                    raise _conflict_error(self.name, field, place, f"{ours} and {theirs}", reason) from exc
            setattr(joined, field, value)
        # A copy: values of the branches stay theirs.
        return self.read(self.write(joined, f"the end of {place}"))


class BranchState:
    """The state of one branch of a workflow; `path` is the branch's, and `has_ended` is true if it did not fail."""

    __slots__ = ("has_ended", "kind", "path", "value")

    def __init__(self, kind: StateType, value: Any) -> None:
        self.kind = kind
        self.value = value
        self.path = ""
        self.has_ended = False


STATE: ContextVar[BranchState | None] = ContextVar("agno_rt_state", default=None)
"""The state of the present branch of a declared workflow."""


def _encode(state: Any) -> bytes:
    return msgspec.json.encode(state, enc_hook=_encode_part)


def _encode_part(value: Any) -> Any:
    return plain_value(value, round_trip=True)


def _list_fields(type_: Any, name: str) -> list[str]:
    if isinstance(type_, type) and (fields := list_fields(type_)) is not None:
        return fields
    hint = "Give an attrs class, a data class or a msgspec Struct: state=ReportState."
    raise UsageError(f"the state of a workflow is {name}", hint=hint)


def _conflict_error(state: str, field: str, place: str, branches: str, reason: str) -> StateConflict:
    hint = (
        f"Declare how to join the changes, as in {field}: Annotated[list[str], append] with a reducer of "
        "agno_rt.workflows; or let one branch alone change it."
    )
    error = StateConflict(f"{branches} both changed {state}.{field}, {reason}", path=place, hint=hint)
    error.field = field
    return error
