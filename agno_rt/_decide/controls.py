"""Requests to a run under way by its id, as stored: messages to take in, and wishes to stop. Pure.

A store keeps them as signals with names of our own, so that they survive the process that sent them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from agno_rt._decide.input import Input, as_messages
from agno_rt.errors import UsageError
from agno_rt.messages import Message
from agno_rt.run_store import Resume, Signal

__all__ = [
    "MESSAGE",
    "STOP",
    "TAKEOVER",
    "SentMessages",
    "StopAt",
    "StopWish",
    "TakeoverWish",
    "When",
    "check_signal_name",
    "check_stop",
    "name_message",
    "read_control",
    "user_messages",
]

When: TypeAlias = Literal["next", "end"]
"""The time for a message to a run under way: before the next turn, or after the answer."""

StopAt: TypeAlias = Literal["model", "tools", "now"]
"""The place at which a run stops: after the model's answer, after the tools of the turn, or at once."""

_RESERVED = "agno_rt."
MESSAGE = f"{_RESERVED}message"
STOP = f"{_RESERVED}stop"
TAKEOVER = f"{_RESERVED}takeover"
"""The names of the signals that are messages, wishes to stop, and wishes to give a session up."""


class SentMessages(msgspec.Struct):
    """The messages of one `send`."""

    messages: tuple[Message, ...]
    when: When = "next"


class StopWish(msgspec.Struct):
    """The wish to stop at a safe point; `grace` is the number of seconds until the run is cancelled in any case."""

    at: StopAt = "tools"
    grace: float | None = None


class TakeoverWish(msgspec.Struct):
    """The wish to stop for the run `by` on the same session, in another process; see `Takeover`."""

    by: str
    keeps: bool


_TYPES: dict[str, Any] = {MESSAGE: SentMessages, STOP: StopWish, TAKEOVER: TakeoverWish}


def read_control(signal: Signal) -> SentMessages | StopWish | TakeoverWish | None:
    """Return the content of a signal; None for a user's signal, and for a damaged one, which nobody can act on."""
    kind = _TYPES.get(signal.name)
    try:
        found: SentMessages | StopWish | TakeoverWish | None = (
            None if kind is None else msgspec.json.decode(signal.value, type=kind)
        )
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return found


def name_message(run: str, key: int | str) -> str:
    """Return the name by which journals know the messages of one `send` to the run."""
    return f"{run}:{key}"


def check_signal_name(name: str) -> None:
    """Raise `UsageError` for a name that users' signals cannot have."""
    if isinstance(name, str) and name.startswith(_RESERVED):
        hint = "Choose another name; `Runtime.send` sends messages, `Runtime.stop` stops a run."
        raise UsageError(f"the signal's name {name!r} begins with {_RESERVED!r}", hint=hint)


def check_stop(at: str, grace: float | None) -> None:
    """Raise `UsageError` unless the values say at which place to stop, and after how many seconds at the latest."""
    if at not in get_args(StopAt):
        raise UsageError(f"at is {at!r}", hint="Give 'model', 'tools' or 'now'.")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int | float) or not grace >= 0):
        raise UsageError(f"grace is {grace!r}", hint="Give a number of seconds, or None to wait for the safe point.")


def user_messages(input: Input, when: str) -> tuple[Message, ...]:
    """Return the messages to send to a run. Raises `UsageError` for anything but messages of a user."""
    if when not in get_args(When):
        raise UsageError(f"when is {when!r}", hint="Give 'next' or 'end'.")
    if isinstance(input, Resume):
        raise UsageError("a stored run was sent to a run", hint="Send text, media or messages.")
    messages: Sequence[Message] = as_messages(input)
    if any(message.role != "user" for message in messages):
        raise UsageError("a message sent to a run is not a user's", hint="Send text, or messages with the role 'user'.")
    return tuple(messages)
