"""The chat completions wire format as pure functions: a request to a body, bodies and chunks to a response. No I/O.

Many services and local servers speak it, so it is written once, here, for every plugin that does. What does not have
the format's shape raises `ValueError` saying what was expected; the caller, who knows the provider, makes a
`ModelError` of it. Reference: the OpenAI API reference, "Create chat completion" and its "Streaming events".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, get_args

import attrs

from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import FinishReason, ModelRequest, ModelResponse, ModelSettings
from agno_rt.tools import Tool

__all__ = ["StreamedResponse", "request_body", "response"]

_FINISH_REASONS = frozenset(get_args(FinishReason))


def request_body(request: ModelRequest, model: str) -> dict[str, Any]:
    """The JSON body that asks `model` for a completion of the request; `settings.extra` has the last word."""
    body: dict[str, Any] = {"model": model, "messages": [_message(message) for message in request.messages]}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = _tool_choice(request.tool_choice)
    if request.output is not None:
        schema = {"name": "output", "schema": request.output, "strict": _is_strict(request.output)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body | _settings(request.settings)


def response(body: Mapping[str, Any]) -> ModelResponse:
    """The response in a completion's body. Raises `ValueError` where it has another shape."""
    choice = _first(_mapping(body, "the body").get("choices"), "choices")
    message = _mapping(choice.get("message"), "choices[0].message")
    calls = [_call(call, index) for index, call in enumerate(_mappings(message.get("tool_calls"), "tool_calls"))]
    return ModelResponse(
        content=_text(message.get("content"), "content") or _text(message.get("refusal"), "refusal"),
        tool_calls=tuple(calls),
        reasoning=_reasoning(message),
        usage=_usage(body.get("usage")),
        finish_reason=_finish_reason(choice.get("finish_reason"), bool(calls)),
    )


@attrs.define
class StreamedResponse:
    """A response that arrives in chunks: `feed` each one, then take the `response`. `finished` once a chunk says so."""

    finished: bool = False
    _content: list[str] = attrs.Factory(list)
    _reasoning: list[str] = attrs.Factory(list)
    _calls: dict[int, ToolCall] = attrs.Factory(dict)
    _usage: Usage = attrs.Factory(Usage)
    _finish_reason: Any = None

    def feed(self, chunk: Mapping[str, Any]) -> list[Delta]:
        """Take in one chunk and return what it brought. Raises `ValueError` where it has another shape."""
        if _mapping(chunk, "the chunk").get("error"):
            raise ValueError(f"the stream broke off with an error: {chunk['error']}")
        if chunk.get("usage"):
            self._usage = _usage(chunk["usage"])
        choices = _mappings(chunk.get("choices"), "choices")
        if not choices:
            return []
        choice = choices[0]
        if choice.get("finish_reason"):
            self.finished = True
            self._finish_reason = choice["finish_reason"]
        return list(self._deltas(_mapping(choice.get("delta") or {}, "choices[0].delta")))

    def response(self) -> ModelResponse:
        """All that was fed, as one response."""
        calls = tuple(self._calls[index] for index in sorted(self._calls))
        content, reasoning = "".join(self._content), "".join(self._reasoning)
        return ModelResponse(content, calls, reasoning, self._usage, _finish_reason(self._finish_reason, bool(calls)))

    def _deltas(self, delta: Mapping[str, Any]) -> Iterable[Delta]:
        if reasoning := _reasoning(delta):
            self._reasoning.append(reasoning)
            yield ReasoningDelta(reasoning)
        if text := _text(delta.get("content"), "content") + _text(delta.get("refusal"), "refusal"):
            self._content.append(text)
            yield TextDelta(text)
        for position, piece in enumerate(_mappings(delta.get("tool_calls"), "tool_calls")):
            yield self._piece(piece, self._index(piece, position))

    def _index(self, piece: Mapping[str, Any], position: int) -> Any:
        """Which call a piece belongs to. Some servers leave the index out, or send 0 for each of several calls."""
        index, id_ = piece.get("index"), piece.get("id")
        index = position if index is None else index
        known = self._calls.get(index) if isinstance(index, int) else None
        if known is None or not id_ or known.id in (id_, f"call_{index}"):
            return index
        same = [at for at, call in self._calls.items() if call.id == id_]
        return same[0] if same else max(self._calls) + 1

    def _piece(self, piece: Mapping[str, Any], index: Any) -> ToolCallDelta:
        if not isinstance(index, int):
            raise ValueError(f"a tool call's index is {index!r}, not a number")
        function = _mapping(piece.get("function") or {}, "tool_calls[].function")
        name, arguments = _text(function.get("name"), "name"), _text(function.get("arguments"), "arguments")
        id_ = _text(piece.get("id"), "id")
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = ToolCall(id_ or f"call_{index}", "", "")
        call.name += name
        call.arguments += arguments
        return ToolCallDelta(index, id_, name, arguments)


def _message(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["tool_calls"] = [_call_body(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.name is not None and message.role != "tool":
        body["name"] = message.name
    return body


def _call_body(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI takes the schema in strict mode: each object closed, and each of its properties required."""
    if isinstance(schema, Mapping):
        if "properties" in schema or schema.get("type") == "object":
            properties = schema.get("properties", {})
            if schema.get("additionalProperties") is not False or set(properties) != set(schema.get("required", ())):
                return False
        return "default" not in schema and all(map(_is_strict, schema.values()))
    return all(map(_is_strict, schema)) if isinstance(schema, list) else True


def _tool_choice(choice: str) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _settings(settings: ModelSettings) -> dict[str, Any]:
    named = {"temperature": settings.temperature, "max_tokens": settings.max_tokens, "seed": settings.seed}
    body: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    if settings.stop:
        body["stop"] = list(settings.stop)
    return body | dict(settings.extra)


def _call(call: Mapping[str, Any], index: int) -> ToolCall:
    function = _mapping(call.get("function"), "tool_calls[].function")
    name, arguments = _text(function.get("name"), "name"), _text(function.get("arguments"), "arguments")
    return ToolCall(_text(call.get("id"), "id") or f"call_{index}", name, arguments)


def _reasoning(message: Mapping[str, Any]) -> str:
    return _text(message.get("reasoning_content") or message.get("reasoning"), "reasoning_content")


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, Mapping):
        return Usage()
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def _count(tokens: Any) -> int:
    if tokens is None:
        return 0
    if not isinstance(tokens, int):
        raise ValueError(f"a token count is {tokens!r}, not a whole number")
    return tokens


def _finish_reason(reason: Any, has_calls: bool) -> FinishReason:
    if isinstance(reason, str) and reason in _FINISH_REASONS:
        return cast(FinishReason, reason)
    return "tool_calls" if has_calls else "stop"


def _first(value: Any, where: str) -> Mapping[str, Any]:
    items = _mappings(value, where)
    if not items:
        raise ValueError(f"{where} is missing or empty")
    return items[0]


def _mappings(value: Any, where: str) -> Sequence[Mapping[str, Any]]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError(f"{where} is {type(value).__name__}, not a list")
    return [_mapping(item, f"{where}[]") for item in value]


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {type(value).__name__}, not an object")
    return value


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{where} is {type(value).__name__}, not a string")
    return value
