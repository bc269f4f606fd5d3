"""Encodes a session's data beside the messages: the typed and versioned state, and the summary.

Agents without the state or the summary leave the data unchanged. Knows no backend and no run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, get_origin

import msgspec

from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import AgnoError, BackendError, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.memory import SessionState

__all__ = ["Kept", "KeptState", "KeptSummary", "new_state", "read_kept", "read_state", "write_kept", "write_state"]

FORMAT = 1


class KeptState(msgspec.Struct):
    """A stored state: the name of its type, its version, and its JSON."""

    type: str
    version: int
    value: msgspec.Raw


class KeptSummary(msgspec.Struct):
    """A summary of the session's first `covers` messages."""

    text: str
    covers: int


NO_NOTE = msgspec.Raw(b"")


class Kept(msgspec.Struct, omit_defaults=True):
    """The data of a session beside the messages.

    `note` is a program's own: runs hand it on as it is. `todos` is the todo list of `_decide.todos`.
    """

    format: int
    state: KeptState | None = None
    summary: KeptSummary | None = None
    note: msgspec.Raw = NO_NOTE
    todos: msgspec.Raw = NO_NOTE


def read_kept(data: bytes, session: str) -> Kept:
    """Decode the data of a session. Raises `BackendError` if they are damaged or from a newer version."""
    if not data:
        return Kept(FORMAT)
    try:
        kept = msgspec.json.decode(data, type=Kept)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        hint = "Restore them from a backup, or delete the session."
        raise BackendError(f"the data of session {session!r} are damaged: {exc}", hint=hint) from exc
    if kept.format > FORMAT:
        raise BackendError(
            f"the data of session {session!r} were written by a newer agno_rt (format {kept.format}, here {FORMAT})",
            hint="Upgrade agno-rt, or use another session.",
        )
    return kept


def write_kept(kept: Kept) -> bytes:
    """Encode the data of a session; empty without any of them."""
    is_empty = kept.state is None and kept.summary is None and kept.note is kept.todos is NO_NOTE
    return b"" if is_empty else msgspec.json.encode(kept)


def new_state(asked: SessionState) -> Any:
    """Make the state of a new session. Raises `UsageError` if making it fails."""
    make = asked.type if asked.new is None else asked.new
    try:
        return make()
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        name = _stored_name(asked.type)
        hint = f"Give every field a default, or pass a function that makes one: SessionState({name}, new=...)."
        raise UsageError(f"a new state of type {name} cannot be made: {_fault_text(exc)}", hint=hint) from exc


def read_state(asked: SessionState, kept: KeptState, session: str) -> Any:
    """Read a stored state as the agent's type, upgrading an older version. Raises `UsageError` if it does not fit."""
    name = _stored_name(asked.type)
    what = f"the state of session {session!r} is a {kept.type} of version {kept.version}"
    safe = "Nothing was changed."
    if kept.version > asked.version:
        hint = f"{safe} Use the newer agent, or another session."
        raise UsageError(f"{what}; the agent has the older version {asked.version} of {name}", hint=hint)
    if kept.version == asked.version or asked.upgrade is None:
        if kept.type != name:
            hint = f"{safe} Use another session; or if {name} takes its place, a higher version with an upgrade."
            raise UsageError(f"{what}; the agent has {name}", hint=hint)
        return _decode_state(asked.type, kept.value, f"{what}, and does not fit {name}", safe)
    try:
        upgraded = msgspec.json.encode(asked.upgrade(kept.version, msgspec.json.decode(kept.value)))
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise UsageError(f"{what}, and its upgrade to {asked.version} failed: {_fault_text(exc)}", hint=safe) from exc
    return _decode_state(asked.type, upgraded, f"{what}, and the result of its upgrade does not fit {name}", safe)


def write_state(asked: SessionState, state: Any, session: str) -> KeptState:
    """Encode a state for the store. Raises `UsageError` if the state could not be read again."""
    name = _stored_name(asked.type)
    what = f"the state of session {session!r} cannot be stored"
    safe = "Nothing of this run was stored in the session."
    try:
        value = msgspec.json.encode(state, enc_hook=_stored_value)
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise UsageError(f"{what}: {_fault_text(exc)}", hint=f"{safe} Keep only JSON values in the state.") from exc
    # Read back now: a tool may have set a field to a value of another type, and the next run could not begin.
    _decode_state(asked.type, value, f"{what}: it does not fit {name} any more", safe)
    return KeptState(name, asked.version, msgspec.Raw(value))


def _decode_state(type_: Any, value: bytes | msgspec.Raw, problem: str, safe: str) -> Any:
    try:
        decode = _own_decoder(type_) if isinstance(type_, Hashable) else None
        return msgspec.json.decode(value, type=type_) if decode is None else decode(bytes(value))
    except AgnoError:
        raise
    except BaseException as exc:  # a class may raise anything when it is made
        if must_pass(exc):
            raise
        raise UsageError(f"{problem}: {_fault_text(exc)}", hint=safe) from exc


_stored_value = functools.partial(plain_value, round_trip=True)


@functools.lru_cache(maxsize=100)
def _own_decoder(type_: Any) -> Callable[[bytes], Any] | None:
    """Return the decoder of a type unknown to msgspec, such as pydantic's; `None` for other types."""
    try:
        msgspec.json.schema(type_)
    except TypeError:
        from agno_rt._schema.describe import type_decoder  # imported late: only such states need it

        return type_decoder(type_)
    return None


def _stored_name(type_: Any) -> str:
    """Return a type's name in the store. A class may move to another module, and `dict` become `dict[str, int]`."""
    origin = get_origin(type_) or type_
    return getattr(origin, "__name__", None) or str(type_)


def _fault_text(exc: BaseException) -> str:
    # msgspec's text names the place of the fault; the name of its class would add nothing.
    return str(exc) if isinstance(exc, msgspec.MsgspecError) else named(exc)
