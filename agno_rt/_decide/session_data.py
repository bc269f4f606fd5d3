"""What a session keeps beside its messages, as bytes: the state, typed and versioned, and the summary of old messages.

Whoever does not use one of them keeps it as it was. Knows no backend and no run.
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
    """A state as it is stored: the name of its type, its version, and its JSON."""

    type: str
    version: int
    value: msgspec.Raw


class KeptSummary(msgspec.Struct):
    """A summary, and how many of the session's messages, from its first on, are in it."""

    text: str
    covers: int


class Kept(msgspec.Struct, omit_defaults=True):
    """All that a session keeps beside its messages."""

    format: int
    state: KeptState | None = None
    summary: KeptSummary | None = None


def read_kept(data: bytes, session: str) -> Kept:
    """What the data of a session hold. Raises `BackendError` for data that are damaged, or from a newer version."""
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
    """The bytes for a session's data: none where there is nothing to keep."""
    return b"" if kept.state is None and kept.summary is None else msgspec.json.encode(kept)


def new_state(asked: SessionState) -> Any:
    """The state of a new session. Raises `UsageError` where it cannot be made."""
    make = asked.type if asked.new is None else asked.new
    try:
        return make()
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        name = _name(asked.type)
        hint = f"Give every field a default, or say how: SessionState({name}, new=...)."
        raise UsageError(f"a new state of type {name} cannot be made: {_said(exc)}", hint=hint) from exc


def read_state(asked: SessionState, kept: KeptState, session: str) -> Any:
    """The stored state as the type that is asked for. Raises `UsageError` for one that does not fit it."""
    name = _name(asked.type)
    what = f"the state of session {session!r} is a {kept.type} of version {kept.version}"
    safe = "Nothing was changed."
    if kept.version > asked.version:
        hint = f"{safe} Use the newer agent, or another session."
        raise UsageError(f"{what}; the agent has the older version {asked.version} of {name}", hint=hint)
    if kept.version == asked.version or asked.upgrade is None:
        if kept.type != name:
            hint = f"{safe} Use another session; or if {name} takes its place, a higher version with an upgrade."
            raise UsageError(f"{what}; the agent has {name}", hint=hint)
        return _fitting(asked.type, kept.value, f"{what}, and does not fit {name}", safe)
    try:
        upgraded = msgspec.json.encode(asked.upgrade(kept.version, msgspec.json.decode(kept.value)))
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise UsageError(f"{what}, and its upgrade to {asked.version} failed: {_said(exc)}", hint=safe) from exc
    return _fitting(asked.type, upgraded, f"{what}, and what its upgrade made of it does not fit {name}", safe)


def write_state(asked: SessionState, state: Any, session: str) -> KeptState:
    """The state, to be stored. Raises `UsageError` for one that could not be read again."""
    name = _name(asked.type)
    what = f"the state of session {session!r} cannot be stored"
    safe = "Nothing of this run was stored in the session."
    try:
        value = msgspec.json.encode(state, enc_hook=_stored_value)
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise UsageError(f"{what}: {_said(exc)}", hint=f"{safe} Keep in it what JSON can carry.") from exc
    _fitting(asked.type, value, f"{what}: it does not fit {name} any more", safe)
    return KeptState(name, asked.version, msgspec.Raw(value))


def _fitting(type_: Any, value: bytes | msgspec.Raw, problem: str, safe: str) -> Any:
    try:
        decode = _own_decoder(type_) if isinstance(type_, Hashable) else None
        return msgspec.json.decode(value, type=type_) if decode is None else decode(bytes(value))
    except AgnoError:
        raise
    except BaseException as exc:  # a class may raise anything when it is made
        if must_pass(exc):
            raise
        raise UsageError(f"{problem}: {_said(exc)}", hint=safe) from exc


_stored_value = functools.partial(plain_value, round_trip=True)


@functools.lru_cache(maxsize=100)
def _own_decoder(type_: Any) -> Callable[[bytes], Any] | None:
    """The decoder of a type that msgspec alone does not read, as one of pydantic's; `None` for any other."""
    try:
        msgspec.json.schema(type_)
    except TypeError:
        from agno_rt._schema.describe import type_decoder  # for those who have such a state

        return type_decoder(type_)
    return None


def _name(type_: Any) -> str:
    """What a type goes by in storage. A class may move to another module, and `dict` become `dict[str, int]`."""
    origin = get_origin(type_) or type_
    return getattr(origin, "__name__", None) or str(type_)


def _said(exc: BaseException) -> str:
    return str(exc) if isinstance(exc, msgspec.MsgspecError) else named(exc)
