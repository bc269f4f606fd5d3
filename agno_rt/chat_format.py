"""The chat completions wire format as pure functions: a request to a body, bodies and chunks to a response. No I/O.

Many services and local servers speak it, so it is written once, here, for every plugin that does. A response that does
not have the format's shape raises `ValueError` saying what was expected; the caller, who knows the provider, makes a
`ModelError` of it. What the messages of a request become is `_chat_messages`'.

Reference: the OpenAI API reference, "Create chat completion" and its "Streaming events". Reasoning, for which it has no
field, comes as `reasoning_content` (DeepSeek, llama.cpp), as `reasoning` (OpenRouter, vLLM), as parts of type
`thinking` (Mistral), or within the text in `<think>` tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, get_args

import attrs

from agno_rt._chat_messages import message_bodies
from agno_rt._think import ThinkSplitter, ThinkTags
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import ToolCall, Usage
from agno_rt.models import FinishReason, ModelRequest, ModelResponse, ModelSettings
from agno_rt.tools import Tool

__all__ = ["StreamedResponse", "ThinkTags", "request_body", "response"]

_FINISH_REASONS = frozenset(get_args(FinishReason))


def request_body(request: ModelRequest, model: str, *, reasoning_field: str = "") -> dict[str, Any]:
    """The JSON body that asks `model` for a completion of the request; `settings.extra` has the last word.

    Media go as the format's parts; those of a tool's result, for which it has no place, in a message of the user's
    behind it. What the model thought in earlier turns is left out, unless the server wants it back in the field of that
    name. Raises `UsageError` for media that the format cannot carry.
    """
    body: dict[str, Any] = {"model": model, "messages": message_bodies(request.messages, reasoning_field)}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = _tool_choice(request.tool_choice)
    if request.output is not None:
        schema = {"name": "output", "schema": request.output, "strict": _is_strict(request.output)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body | _settings(request.settings)


def response(body: Mapping[str, Any], think_tags: ThinkTags = "off") -> ModelResponse:
    """The response in a completion's body. Raises `ValueError` where it has another shape.

    `think_tags` says whether the text has reasoning in `<think>` tags: `off`, it is all answer; `start`, it may begin
    with such a tag; `opened`, the prompt has opened it already.
    """
    choice = _first(_mapping(body, "the body").get("choices"), "choices")
    message = _mapping(choice.get("message"), "choices[0].message")
    calls = [_call(call, index) for index, call in enumerate(_mappings(message.get("tool_calls"), "tool_calls"))]
    reasoning, content = _said(message)
    if not reasoning:
        split = ThinkSplitter(think_tags)
        reasoning, content = _joined([*split.feed(content), *split.end()])
    return ModelResponse(
        content=content or _text(message.get("refusal"), "refusal"),
        tool_calls=tuple(calls),
        reasoning=reasoning,
        usage=_usage(body.get("usage")),
        finish_reason=_finish_reason(choice.get("finish_reason"), bool(calls)),
    )


@attrs.define
class StreamedResponse:
    """A response that arrives in chunks: `feed` each one, `end` it, then take the `response`.

    `finished` once a chunk says so. `think_tags` is what it is for `response`.
    """

    think_tags: ThinkTags = "off"
    finished: bool = attrs.field(default=False, init=False)
    _splitter: ThinkSplitter = attrs.field(
        default=attrs.Factory(lambda self: ThinkSplitter(self.think_tags), takes_self=True), init=False, repr=False
    )
    _said: list[TextDelta | ReasoningDelta] = attrs.field(factory=list, init=False)
    _calls: dict[int, ToolCall] = attrs.field(factory=dict, init=False)
    _usage: Usage = attrs.field(factory=Usage, init=False)
    _finish_reason: Any = attrs.field(default=None, init=False)

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

    def end(self) -> list[Delta]:
        """The stream is over: what was held back, in case it was the beginning of a tag."""
        rest = self._splitter.end()
        self._said += rest
        return [*rest]

    def response(self) -> ModelResponse:
        """All that was fed, as one response."""
        self.end()
        calls = tuple(self._calls[index] for index in sorted(self._calls))
        reasoning, content = _joined(self._said)
        return ModelResponse(content, calls, reasoning, self._usage, _finish_reason(self._finish_reason, bool(calls)))

    def _deltas(self, delta: Mapping[str, Any]) -> Iterable[Delta]:
        reasoning, text = _said(delta)
        text += _text(delta.get("refusal"), "refusal")
        said: list[TextDelta | ReasoningDelta] = []
        if reasoning:
            # The server tells them apart itself: a tag that comes now is the answer's own.
            said = [*self._splitter.end(), ReasoningDelta(reasoning)]
        if text:
            said += self._splitter.feed(text)
        self._said += said
        yield from said
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


def _said(message: Mapping[str, Any]) -> tuple[str, str]:
    """The reasoning and the text of a message or a piece of one."""
    reasoning = _text(message.get("reasoning_content") or message.get("reasoning"), "reasoning_content")
    content = message.get("content")
    if not isinstance(content, list):
        return reasoning, _text(content, "content")
    thought, text = _in_parts(content)
    return reasoning or thought, text


def _in_parts(parts: Sequence[Any]) -> tuple[str, str]:
    """The reasoning and the text in a content of parts; parts of other types, references for one, are passed over."""
    thought, text = "", ""
    for part in _mappings(parts, "content"):
        match part.get("type"):
            case "thinking":
                inner = part.get("thinking")
                thought += "".join(_in_parts(inner)) if isinstance(inner, list) else _text(inner, "thinking")
            case "text" | "output_text":
                text += _text(part.get("text"), "text")
            case "refusal":
                text += _text(part.get("refusal"), "refusal")
    return thought, text


def _joined(said: Iterable[TextDelta | ReasoningDelta]) -> tuple[str, str]:
    """The reasoning and the text of all that was said."""
    reasoning: list[str] = []
    text: list[str] = []
    for delta in said:
        (text if isinstance(delta, TextDelta) else reasoning).append(delta.text)
    return "".join(reasoning), "".join(text)


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, Mapping):
        return Usage()
    asked, answered = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    thought = _count(_detail(usage, "completion_tokens_details", "reasoning_tokens"))
    cached = _count(_detail(usage, "prompt_tokens_details", "cached_tokens"))
    if thought and usage.get("total_tokens") == asked + answered + thought:
        # Some servers do not count them among the tokens of the answer, as the format has it.
        answered += thought
    # DeepSeek has a name of its own for what was cached.
    cached = cached or _count(usage.get("prompt_cache_hit_tokens"))
    return Usage(asked, answered, min(thought, answered), min(cached, asked))


def _detail(usage: Mapping[str, Any], table: str, key: str) -> Any:
    details = usage.get(table)
    return details.get(key) if isinstance(details, Mapping) else None


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
