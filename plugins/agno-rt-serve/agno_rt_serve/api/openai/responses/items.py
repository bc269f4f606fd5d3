"""The items of a conversation: from a client's input to kept items, and from items to messages. Pure.

Reference: the OpenAI API reference, "Responses", and the Open Responses specification, "Items".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from agno_rt import Message, ToolCall
from agno_rt.messages import Role
from agno_rt_serve.api.openai.content import ContentPart, convert_content
from agno_rt_serve.api.openai.refused import Refused
from agno_rt_serve.api.parts import Accepts

__all__ = ["Placed", "make_messages", "place_items", "read_input"]

Item = dict[str, Any]
Placed = tuple[str, Item]
"""An item and the place in the request, for errors."""

_ROLES: dict[str, Role] = {"user": "user", "system": "system", "developer": "system", "assistant": "assistant"}
_PARTS = (
    "input_text",
    "output_text",
    "text",
    "refusal",
    "input_image",
    "input_file",
    "input_audio",
    "input_video",
)
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}


class _Message(msgspec.Struct):
    role: str
    content: str | list[ContentPart]


class _Call(msgspec.Struct):
    call_id: str
    name: str
    arguments: str


class _CallOutput(msgspec.Struct):
    call_id: str
    output: str | list[ContentPart]


class _Text(msgspec.Struct):
    text: str


class _Reasoning(msgspec.Struct):
    summary: list[_Text] = []
    content: list[_Text] | None = None


_KINDS: dict[str, type[msgspec.Struct]] = {
    "message": _Message,
    "function_call": _Call,
    "function_call_output": _CallOutput,
    "reasoning": _Reasoning,
}


def read_input(given: str | Sequence[Item] | None, run: str) -> list[Item]:
    """Return the input as items with a type and an id each; `run` is the part of new ids.

    Raises `Refused` for an item of an unsupported type.
    """
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": given}]
    items = []
    for at, item in enumerate(given or ()):
        kind = item.get("type") or ("message" if "role" in item else "item_reference" if "id" in item else None)
        if kind not in _KINDS:
            hint = f"Supported: {', '.join(_KINDS)}."
            if kind == "item_reference":
                hint = "Send the item itself, or continue the response with `previous_response_id`."
            raise Refused(f"input[{at}] is of type {kind!r}, which is not supported", f"input[{at}]", hint)
        made = {"type": kind, "id": item.get("id") or f"{_PREFIXES[kind]}_{run}_in{at}", **_drop_null_id(item)}
        if kind != "reasoning":
            made.setdefault("status", "completed")
        if kind == "message" and isinstance(item.get("content"), str):
            word = "output_text" if item.get("role") == "assistant" else "input_text"
            notes: Item = {"annotations": []} if word == "output_text" else {}
            made["content"] = [{"type": word, "text": item["content"], **notes}]
        items.append(made)
    return items


def place_items(items: Iterable[Item], before: bool = False) -> list[Placed]:
    """Return the items with places: in `input`, or in the response `before`."""
    return [("previous_response_id" if before else f"input[{at}]", item) for at, item in enumerate(items)]


def make_messages(placed: Iterable[Placed], accepts: Accepts, instructions: str | None = None) -> list[Message]:
    """Return the conversation of the items. Each call must have an output.

    Consecutive reasoning, text and calls of the assistant are a single message. Raises `Refused` that names the
    item and the fault.
    """
    reader = _Reader(accepts)
    if instructions:
        reader.messages.append(Message("system", instructions))
    for where, item in placed:
        reader.add(where, item)
    return reader.finish()


class _Reader:
    """Gathers items into messages."""

    def __init__(self, accepts: Accepts) -> None:
        self.messages: list[Message] = []
        self._accepts = accepts
        self._text: str | None = None
        self._reasoning = ""
        self._calls: list[ToolCall] = []
        self._open: dict[str, str] = {}
        self._where = "input"

    def add(self, where: str, item: Item) -> None:
        try:
            read: Any = msgspec.convert(item, _KINDS[item["type"]])
        except msgspec.ValidationError as exc:
            raise Refused(f"{where} is not a {item['type']} item: {exc}", where) from exc
        if isinstance(read, _CallOutput):
            self._add_output(where, read)
        elif isinstance(read, _Call):
            self._add_call(where, read)
        elif isinstance(read, _Reasoning):
            if self._text is not None or self._calls:
                self._flush(where)
            self._reasoning += "".join(part.text for part in read.content or read.summary)
        else:
            self._add_message(where, read)

    def finish(self) -> list[Message]:
        self._flush("input")
        self._check_answered("input")
        if not any(message.role != "system" for message in self.messages):
            raise Refused("there is no input to answer", "input")
        return self.messages

    def _add_message(self, where: str, read: _Message) -> None:
        role = _ROLES.get(read.role)
        if role is None:
            hint = "Send messages of the roles user, assistant, system and developer."
            raise Refused(f"{where} has the role {read.role!r}", where, hint)
        content = convert_content(read.content, f"{where}.content", self._accepts, _PARTS)
        if role != "user" and not isinstance(content, str):
            hint = "Send media in messages of the user."
            raise Refused(f"{where} has the role {read.role!r} and holds media", where, hint)
        if role == "assistant":
            if self._text is not None:
                self._flush(where)
            self._text = str(content)
            return
        self._flush(where)
        self._check_answered(where)
        self.messages.append(Message(role, content))

    def _add_call(self, where: str, read: _Call) -> None:
        if read.call_id in self._open or any(call.id == read.call_id for call in self._calls):
            raise Refused(f"{where} has the call_id of another call", where)
        self._calls.append(ToolCall(read.call_id, read.name, read.arguments))

    def _add_output(self, where: str, read: _CallOutput) -> None:
        self._flush(where)
        if read.call_id not in self._open:
            hint = "Send it after the function_call item with this call_id, or with `previous_response_id`."
            raise Refused(f"{where} answers no call before it: {read.call_id!r}", where, hint)
        content = convert_content(read.output, f"{where}.output", self._accepts, _PARTS)
        self.messages.append(Message("tool", content, (), read.call_id, self._open.pop(read.call_id)))

    def _flush(self, where: str) -> None:
        """Make a message of the assistant's items so far."""
        if self._text is None and not self._calls:
            self._reasoning = ""
            return
        self._check_answered(where)
        calls = tuple(self._calls)
        self.messages.append(Message("assistant", self._text or "", calls, reasoning=self._reasoning))
        self._open = {call.id: call.name for call in calls}
        self._text, self._reasoning, self._calls = None, "", []

    def _check_answered(self, where: str) -> None:
        if self._open:
            hint = "Send a function_call_output item for each call."
            raise Refused(f"function calls have no output: {', '.join(self._open)}", where, hint)


def _drop_null_id(item: Item) -> Item:
    return {name: value for name, value in item.items() if value is not None or name not in ("id", "type", "status")}
