"""Tool calls of the chat completions format, whole or joined from the pieces of a stream. Pure: no I/O.

In the format, each piece has the index of its call, and the first piece has the id and the name. Some servers leave out
the index, send 0 for every call, repeat the name or the whole call, or change the id with each piece. Text that fits no
rule here stays in the arguments, which then are not JSON, and the model is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.events import ToolCallDelta
from agno_rt.messages import ToolCall
from agno_rt.wire._kept_fields import EXTRA
from agno_rt.wire._lenient import mapping_of, mappings_of, text_of, whole_number
from agno_rt.wire._text import mend_text

__all__ = ["CallPieces", "call_bodies", "whole_calls"]

Names = Mapping[str, str]
"""The original names of tools, by the names sent instead."""


def call_bodies(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the calls, or pieces of calls, in a message or a delta; the older `function_call` counts as a call."""
    bodies = mappings_of(message.get("tool_calls"), "tool_calls")
    old = message.get("function_call")
    return bodies if bodies or old is None else [{"function": old}]


def whole_calls(message: Mapping[str, Any], names: Names) -> tuple[ToolCall, ...]:
    """Return the calls of a whole message."""
    calls: list[ToolCall] = []
    for at, body in enumerate(call_bodies(message)):
        function = mapping_of(body if "name" in body else body.get("function"), "tool_calls[].function")
        name = text_of(function.get("name"), "name")
        id_ = _read_id(body) or f"call_{at}"
        calls.append(_build_tool_call(id_, names.get(name, name), _read_arguments(function)))
    return tuple(calls)


@attrs.define(eq=False)
class _Call:
    """A call that is still arriving: `told` counts the letters of the name in past deltas; `id` may be empty.

    `extra` is the field that the service wants back with the call.
    """

    number: int
    id: str = ""
    name: str = ""
    told: int = 0
    size: int = 0
    extra: Any = None
    pieces: list[str] = attrs.field(factory=list)

    def is_whole(self) -> bool:
        """Return whether the arguments so far are a JSON object."""
        return _is_object("".join(self.pieces))


class CallPieces:
    """Joins calls: `feed` the pieces of each delta, then read the `calls`."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._calls: dict[int, _Call] = {}
        # By index in the stream, the call of the last piece. Indexes may repeat, so `_calls` has numbers of its own.
        self._under: dict[int, _Call] = {}
        self._last: _Call | None = None

    def feed(self, bodies: Sequence[Mapping[str, Any]]) -> Iterator[ToolCallDelta]:
        """Take in pieces and yield a delta for each. Raises `ValueError` for a malformed piece."""
        for position, body in enumerate(bodies):
            function = body.get("function")
            function = mapping_of(body if function is None else function, "tool_calls[].function")
            id_, name = _read_id(body), text_of(function.get("name"), "name")
            arguments = _read_arguments(function)
            slot = _read_index(body)
            # Without an index, the position among several calls of one delta counts.
            if slot is None and len(bodies) > 1:
                slot = position
            call = self._last = self._find_call(slot, id_, name, arguments)
            if slot is not None:
                self._under[slot] = call
            call.id = call.id or id_
            call.extra = body.get(EXTRA) or call.extra
            yield ToolCallDelta(call.number, id_, self._add_name(call, name), _add_arguments(call, arguments))

    def calls(self) -> tuple[ToolCall, ...]:
        """Return all calls so far, in order; empty pieces are ignored."""
        return tuple(
            _build_tool_call(
                call.id or f"call_{call.number}", self._names.get(call.name, call.name), "".join(call.pieces)
            )
            for call in self._list_calls()
        )

    def extras(self) -> list[Any]:
        """Return what the service wants back with each of the `calls`."""
        return [call.extra for call in self._list_calls()]

    def _list_calls(self) -> list[_Call]:
        calls = [self._calls[number] for number in sorted(self._calls)]
        return [call for call in calls if call.id or call.name or call.size]

    def _find_call(self, slot: int | None, id_: str, name: str, arguments: str) -> _Call:
        known = self._last if slot is None else self._under.get(slot)
        if known is None:
            same = self._find_by_id(id_) if slot is None else None
            return same or self._begin_call(slot, id_)
        if id_ and known.id and id_ != known.id:
            same = self._find_by_id(id_)
            # Some servers give each piece a new id. A new call would also bring a name.
            return same or (known if known.name and not name else self._begin_call(slot, id_))
        if id_ or not name or not known.name:
            return known
        if slot is None and not known.size:
            # Without an index, a whole call after a bare name is the next call.
            begins = name != known.name and _is_object(arguments)
        else:
            begins = _is_next_call(known, name, arguments)
        return self._begin_call(slot, id_) if begins else known

    def _find_by_id(self, id_: str) -> _Call | None:
        return next((call for call in self._calls.values() if id_ and call.id == id_), None)

    def _begin_call(self, slot: int | None, id_: str) -> _Call:
        number = slot if slot is not None and slot not in self._calls else max(self._calls, default=-1) + 1
        call = self._calls[number] = _Call(number, id_)
        return call

    def _add_name(self, call: _Call, name: str) -> str:
        """Add to the call's name, which may come in parts or again with each piece; return the text for the delta."""
        if not name or name == call.name:
            return ""
        if call.size and call.name:
            raise ValueError(f"the tool call {call.name!r} is called {name!r} in the middle of its arguments")
        call.name += name
        if call.name in self._names:
            call.told, shown = len(call.name), self._names[call.name]
            return shown
        # The rest may complete the name of a renamed tool: hold the part back until then.
        if any(wire.startswith(call.name) for wire in self._names):
            return ""
        shown, call.told = call.name[call.told :], len(call.name)
        return mend_text(shown)


def _is_next_call(call: _Call, name: str, arguments: str) -> bool:
    """Return whether a piece with a name begins a new call: the last call is whole and is not repeated."""
    return call.is_whole() and (name != call.name or arguments.strip() not in ("", "".join(call.pieces).strip()))


def _add_arguments(call: _Call, arguments: str) -> str:
    """Add to the call's arguments, unless a server sends whole arguments again; return the text for the delta."""
    # Lengths are compared first: this runs for each piece of a stream.
    if not arguments or (len(arguments) == call.size and arguments == "".join(call.pieces) and call.is_whole()):
        return ""
    call.pieces.append(arguments)
    call.size += len(arguments)
    return mend_text(arguments)


def _build_tool_call(id_: str, name: str, arguments: str) -> ToolCall:
    return ToolCall(id_, mend_text(name), _drop_repetition(mend_text(arguments)))


def _drop_repetition(arguments: str) -> str:
    """Remove a prefix that some servers send: an empty object, or the same arguments once more."""
    text = arguments.strip()
    # Equal halves, as in `{"a": 1}{"a": 1}`. The space between halves may shift the middle, hence the strips.
    half = len(text) // 2
    first, second = text[:half].strip(), text[half:].strip()
    if first and first == second and first[0] == "{" and _is_object(second):
        return second
    rest = text.removeprefix("{}").lstrip()
    return rest if rest != text and rest.startswith("{") and _is_object(rest) else arguments


def _read_id(body: Mapping[str, Any]) -> str:
    id_ = body.get("id")
    return str(id_) if isinstance(id_, int) and not isinstance(id_, bool) else mend_text(text_of(id_, "id"))


def _read_index(body: Mapping[str, Any]) -> int | None:
    index = body.get("index")
    number = whole_number(index)
    if number is None and index is not None:
        raise ValueError(f"a tool call's index is {index!r}, not a number")
    return number


def _read_arguments(function: Mapping[str, Any]) -> str:
    """Return the arguments as text; an object becomes JSON. An empty object, or PHP's empty list, becomes `""`."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        return arguments
    if arguments in (None, {}, []):
        return ""
    try:
        return json.dumps(arguments, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("the arguments of a tool call are nested too deeply") from None


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
