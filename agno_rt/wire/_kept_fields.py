"""Keeps fields of an answer that a service wants back, such as the signatures of thoughts. Pure: no I/O.

References: Gemini's guide "Thought signatures", on its compatibility with OpenAI (`extra_content`); OpenRouter's guide
"Reasoning tokens", section "Preserving reasoning", and Vercel's on its AI Gateway (`reasoning_details`). Gemini's newer
models refuse a call that comes back without its signature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agno_rt.messages import Message, Native, ToolCall
from agno_rt.wire._text import mend_value
from agno_rt.wire.native import native_for, seal_native

__all__ = ["EXTRA", "KeptFields", "add_kept_fields"]

EXTRA = "extra_content"
"""The field of a call."""

_DETAILS = "reasoning_details"
_JOINED = ("text", "summary")
"""Fields of details that arrive in pieces."""


class KeptFields:
    """Collects the fields of one answer: `take` the message, or `add` each delta of a stream; then `seal` them."""

    __slots__ = ("_details",)

    def __init__(self) -> None:
        self._details: list[dict[str, Any]] = []

    def take(self, message: Mapping[str, Any]) -> None:
        """Take in a whole message. Details of another shape are ignored."""
        self._details += _list_details(message)

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take in a delta. The pieces of one detail become one; a signature ends a text."""
        for piece in _list_details(delta):
            last = self._details[-1] if self._details else None
            if last is None or not _continues(piece, last):
                last = {}
                self._details.append(last)
            for name, value in piece.items():
                if name in _JOINED and isinstance(value, str):
                    # Lists, joined at the end: joining with each piece would take quadratic time.
                    last[name] = last.get(name) or []
                    last[name].append(value)
                elif value is not None or name not in last:
                    last[name] = value

    def seal(self, service: str, content: str, calls: Sequence[ToolCall], extras: Sequence[Any]) -> Native | None:
        """Seal the fields to the answer; `None` without any. `extras` has the field of each call."""
        if not service or not (self._details or any(extras)):
            return None
        kept = mend_value([[_join_pieces(detail) for detail in self._details], extras])
        return seal_native(service, msgspec.json.encode(kept), content, calls)


def _list_details(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    details = message.get(_DETAILS)
    return [each for each in details if _is_detail(each)] if isinstance(details, list) else []


def _is_detail(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str | None) for name in _JOINED)


def _continues(piece: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Return whether the piece belongs to the last detail. Encrypted details are whole."""
    if "data" in piece or any(piece.get(name) != last.get(name) for name in ("type", "index")):
        return False
    return not (last.get("signature") and any(piece.get(name) for name in _JOINED))


def _join_pieces(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: "".join(value) if type(value) is list and name in _JOINED else value for name, value in detail.items()
    }


def add_kept_fields(message: Message, body: dict[str, Any], service: str) -> None:
    """Add the fields that the service sent with an answer to the answer's body, unless the message was changed."""
    data = native_for(message, service) if service else None
    if data is None:
        return
    details, extras = msgspec.json.decode(data)
    if details:
        body[_DETAILS] = details
    for call, extra in zip(body.get("tool_calls", ()), extras, strict=True):
        if extra:
            call[EXTRA] = extra
