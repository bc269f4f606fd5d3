"""Answers in Cohere's chat format (v2) as pure functions: bodies and events to responses. Opens nothing.

References: Cohere's API reference, "Chat" and "Chat with streaming"; its guides "Streaming" and "Streaming for tool
use"; the types of its SDK. Answers are read through the chat completions format, which has the same parts under other
names. Unknown events and blocks are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from agno_rt.events import Delta
from agno_rt.models import ModelResponse
from agno_rt.wire.chat_completions import ReportedError, StreamedResponse, mend_value
from agno_rt.wire.native import seal_native
from agno_rt_cohere.wire import SERVICE

__all__ = ["ChatFormat"]

_REASONS = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
_FAILURES = ("ERROR", "TIMEOUT", "USER_CANCEL")


@attrs.frozen
class ChatFormat:
    """The format of answers. `names` maps names of tools back (`chat_completions.tool_names`)."""

    names: Mapping[str, str] = attrs.field(factory=dict)
    noun: str = "chat answer"

    def read(self, body: Mapping[str, Any]) -> ModelResponse:
        """Return the response in a whole answer. Raises `ValueError` and `ReportedError`."""
        if "message" not in body or not isinstance(body["message"], Mapping):
            said = body.get("error") or body.get("message")
            if said:
                raise ReportedError(f"the server reported an error: {said}", {"message": said})
            raise ValueError("message is missing")
        pieces = ChatPieces(self.names)
        pieces.take_whole(body)
        return pieces.response()

    def begin(self) -> ChatPieces:
        """Return an empty response for the events of a stream."""
        return ChatPieces(self.names)


@attrs.define(eq=False)
class ChatPieces:
    """A response that arrives in events: `feed` each, call `end`, then take the `response`.

    `finished` is true after the event `message-end`, which also has the counts.
    """

    names: Mapping[str, str]
    finished: bool = attrs.field(default=False, init=False)
    _pieces: StreamedResponse = attrs.field(init=False)
    _id: str = attrs.field(default="", init=False)
    _plan: list[str] = attrs.field(factory=list, init=False)
    _blocks: dict[Any, list[str]] = attrs.field(factory=dict, init=False)
    _citations: list[Any] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._pieces = StreamedResponse(names=self.names)

    def feed(self, event: Mapping[str, Any]) -> list[Delta]:
        """Take in an event and return the new deltas. Raises `ValueError` for an event of another shape."""
        type_ = event.get("type")
        if type_ in ("content-delta", "content-start"):
            return self._add_content(_find(event, "content"), event.get("index"))
        if type_ == "tool-plan-delta":
            return self._add_plan(_find_value(event, "tool_plan"))
        if type_ in ("tool-call-start", "tool-call-delta"):
            return self._add_calls([{**_find(event, "tool_calls"), "index": event.get("index")}])
        if type_ == "citation-start":
            self._citations.append(_find(event, "citations"))
        elif type_ == "message-start":
            self._take_id(event)
        elif type_ == "message-end":
            self._take_id(event)
            return self._finish(_check_mapping(event.get("delta"), "delta"))
        elif type_ is None or type_ == "error":
            said = event.get("message") or event.get("error")
            if not said:
                raise ValueError("type is missing")
            raise ReportedError(f"the stream broke off with an error: {said}", _describe(said))
        return []

    def take_whole(self, body: Mapping[str, Any]) -> None:
        """Take in a whole answer. Raises `ValueError` for another shape."""
        self._take_id(body)
        message = body["message"]
        self._add_plan(message.get("tool_plan"))
        for at, block in enumerate(_check_list(message.get("content"), "content")):
            self._add_content(_check_mapping(block, "content[]"), at)
        calls = _check_list(message.get("tool_calls"), "tool_calls")
        self._add_calls([{**_check_mapping(call, "tool_calls[]"), "index": at} for at, call in enumerate(calls)])
        self._citations += _check_list(message.get("citations"), "citations")
        self._finish(body)

    def end(self) -> list[Delta]:
        """Return the deltas that were held back."""
        return self._pieces.end()

    def response(self) -> ModelResponse:
        """Return the whole response, with the message for the next request if it has more than text and calls."""
        response = self._pieces.response()
        response.request_id = self._id
        if self._citations or response.reasoning:
            data = msgspec.json.encode(mend_value(self._build_message(response)))
            response.native = seal_native(SERVICE, data, response.content, response.tool_calls)
        return response

    def _add_content(self, block: Mapping[str, Any], index: Any) -> list[Delta]:
        """Add a piece of text or of thinking; other blocks are passed over."""
        deltas: list[Delta] = []
        for kind, field in (("thinking", "thinking"), ("text", "content")):
            if said := block.get(kind):
                if not isinstance(said, str):
                    raise ValueError(f"{kind} is {type(said).__name__}, not a string")
                self._blocks.setdefault((index, kind), []).append(said)
                deltas += self._pieces.feed({"choices": [{"delta": {field: said}}]})
        return deltas

    def _add_plan(self, plan: Any) -> list[Delta]:
        """Add to the plan, which the model makes before its calls: a kind of reasoning."""
        if not plan:
            return []
        if not isinstance(plan, str):
            raise ValueError(f"tool_plan is {type(plan).__name__}, not a string")
        self._plan.append(plan)
        return self._pieces.feed({"choices": [{"delta": {"thinking": plan}}]})

    def _add_calls(self, calls: list[dict[str, Any]]) -> list[Delta]:
        return self._pieces.feed({"choices": [{"delta": {"tool_calls": calls}}]}) if calls else []

    def _take_id(self, value: Mapping[str, Any]) -> None:
        id_ = value.get("id")
        if isinstance(id_, str) and id_.isprintable():
            self._id = id_

    def _finish(self, end: Mapping[str, Any]) -> list[Delta]:
        reason = end.get("finish_reason")
        if reason in _FAILURES or end.get("error"):
            said = end.get("error") or f"the answer ended with {reason}"
            raise ReportedError(f"the answer broke off with an error: {said}", _describe(said))
        self.finished = True
        word = _REASONS.get(reason, reason) if isinstance(reason, str) else "stop"
        usage = _count_usage(end.get("usage"))
        return self._pieces.feed({"choices": [{"delta": {}, "finish_reason": word}], "usage": usage})

    def _build_message(self, response: ModelResponse) -> dict[str, Any]:
        """Return the message as the service sent it, whole."""
        back = {name: wire for wire, name in self.names.items()}
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": back.get(call.name, call.name), "arguments": call.arguments or "{}"},
            }
            for call in response.tool_calls
        ]
        content = [{"type": kind, kind: "".join(pieces)} for (_, kind), pieces in self._blocks.items()]
        parts = {
            "tool_plan": "".join(self._plan),
            "content": content,
            "tool_calls": calls,
            "citations": self._citations,
        }
        return {"role": "assistant", **{name: value for name, value in parts.items() if value}}


def _describe(said: Any) -> Any:
    """Return the error object: a failure within an answer may pass with time."""
    return said if isinstance(said, Mapping) else {"message": said, "type": "server_error"}


def _find_value(event: Mapping[str, Any], name: str) -> Any:
    return _check_mapping(_check_mapping(event.get("delta"), "delta").get("message"), "delta.message").get(name)


def _find(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _check_mapping(_find_value(event, name), f"delta.message.{name}")


def _check_mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {type(value).__name__}, not an object")
    return value


def _check_list(value: Any, where: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ValueError(f"{where} is {type(value).__name__}, not a list")
    return value or []


def _count_usage(usage: Any) -> dict[str, Any]:
    """Return the counts under the names of chat completions. Billed counts are smaller, and only a fallback."""
    if not isinstance(usage, Mapping):
        return {}
    counts = next((each for name in ("tokens", "billed_units") if isinstance(each := usage.get(name), Mapping)), {})
    return {
        "prompt_tokens": counts.get("input_tokens"),
        "completion_tokens": counts.get("output_tokens"),
        "prompt_tokens_details": {"cached_tokens": usage.get("cached_tokens")},
    }
