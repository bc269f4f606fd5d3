"""The chat completions wire format as pure functions: a request to a body, bodies and chunks to a response. No I/O.

Many services and local servers speak the format, so all model plugins share this module. Sloppy responses are read;
a response of another shape raises `ValueError` naming the expected shape, and an error instead of an answer raises
`ReportedError`. The caller, who knows the provider, turns both into a `ModelError`. `_messages` renders the messages of
a request; `_lenient` and `_calls` read messages.

Reference: the OpenAI API reference, "Create chat completion" and its "Streaming events". The format has no field for
reasoning: servers send `reasoning_content` (DeepSeek, llama.cpp), `reasoning` (OpenRouter, vLLM), parts of type
`thinking` (Mistral), or `<think>` tags within the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from agno_rt.events import Delta, ReasoningDelta, TextDelta
from agno_rt.messages import ToolCall, Usage
from agno_rt.models import FinishReason, ModelRequest, ModelResponse, ModelSettings
from agno_rt.tools import Tool
from agno_rt.wire._calls import CallPieces, call_bodies, whole_calls
from agno_rt.wire._kept_fields import EXTRA, KeptFields
from agno_rt.wire._lenient import (
    finish_reason,
    is_failure,
    is_reason,
    mapping_of,
    mappings_of,
    reported_error,
    said_in,
    text_of,
    unknown_reason,
    usage_in,
    whole_number,
)
from agno_rt.wire._messages import message_bodies
from agno_rt.wire._strict import is_strict
from agno_rt.wire._text import TextJoiner, mend_text, mend_value
from agno_rt.wire._think import ThinkSplitter, ThinkTags, join_deltas, split_reasoning
from agno_rt.wire._tool_names import wire_names

__all__ = [
    "ReportedError",
    "StreamedResponse",
    "ThinkTags",
    "mend_value",
    "request_body",
    "response",
    "tool_names",
]

_NO_NAMES: Mapping[str, str] = {}
_USUAL = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "obfuscation"}
)
_USUAL_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
"""Fields that leave the meaning of a chunk of text alone."""


class ReportedError(ValueError):
    """An error that the server sent instead of an answer or in the middle of an answer; `error` is the JSON value."""

    def __init__(self, message: str, error: Any) -> None:
        super().__init__(message)
        self.error = error


def request_body(
    request: ModelRequest, model: str, *, reasoning_field: str = "", system_first: bool = False, service: str = ""
) -> dict[str, Any]:
    """Return the JSON body that asks `model` to complete the request; `settings.extra` overrides all other fields.

    Media become parts of the format; media of a tool's result go in a message of the user after the result, because the
    format has no place for media in results. Reasoning of earlier turns is sent only in `reasoning_field`, if given.
    Empty answers are left out. Signatures and other fields that the `service` sent with its answers go back with them.
    `system_first` joins all system messages into one at the start. Tools with names that
    the format does not allow are renamed; `tool_names` maps the names back. Raises `UsageError` for media that the
    format cannot carry.
    """
    names = {name: wire for wire, name in tool_names(request).items()}
    messages = message_bodies(
        request.messages, names, reasoning_field=reasoning_field, system_first=system_first, service=service
    )
    body: dict[str, Any] = {"model": model, "messages": messages}
    if request.tools:
        body["tools"] = [_build_tool(tool, names.get(tool.name, tool.name)) for tool in request.tools]
        body["tool_choice"] = _build_tool_choice(names.get(request.tool_choice, request.tool_choice))
    if request.output is not None:
        schema = {"name": "output", "schema": request.output, "strict": is_strict(request.output)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body | _build_settings(request.settings)


def tool_names(request: ModelRequest) -> Mapping[str, str]:
    """Map the names that `request_body` sends instead to the tools' names, for `response` and `StreamedResponse`."""
    names = [tool.name for tool in request.tools]
    names += [call.name for message in request.messages for call in message.tool_calls]
    return {wire: name for name, wire in wire_names(names).items()}


def response(
    body: Mapping[str, Any], think_tags: ThinkTags = "off", names: Mapping[str, str] = _NO_NAMES, service: str = ""
) -> ModelResponse:
    """Return the response in a completion's body. Raises `ValueError` for a body of another shape and for an error.

    `think_tags` tells where reasoning in `<think>` tags may be: `off`, all text is answer; `start`, the text may begin
    with a tag; `opened`, the prompt has already opened the tag. `names` is the result of `tool_names` for the request.
    `service` names the server, which gets the fields back that it wants back, see `request_body`.
    """
    body = mapping_of(body, "the body")
    if (error := reported_error(body)) is not None:
        raise ReportedError(f"the server reported an error: {error}", error)
    choices = mappings_of(body.get("choices"), "choices")
    if not choices:
        raise ValueError("choices is missing or empty")
    choice = choices[0]
    _check_choice_failure(choice)
    message = _find_message(choice, ("message", "delta"))
    calls = whole_calls(message, names)
    reasoning, content = said_in(message)
    reasoning, content = split_reasoning(reasoning, content or text_of(message.get("refusal"), "refusal"), think_tags)
    made = _build_response(mend_text(content), calls, mend_text(reasoning), usage_in(body, choice), choice)
    kept = KeptFields()
    kept.take(message)
    made.native = kept.seal(service, made.content, calls, [call.get(EXTRA) for call in call_bodies(message)])
    return made


@attrs.define
class StreamedResponse:
    """A response that arrives in chunks: `feed` each chunk, call `end`, then read the `response`.

    `finished` is true after a chunk with a finish reason. `think_tags`, `names` and `service` are as in `response`. Of
    several choices, only the first to arrive is read.
    """

    think_tags: ThinkTags = "off"
    names: Mapping[str, str] = _NO_NAMES
    service: str = ""
    finished: bool = attrs.field(default=False, init=False)
    _splitter: ThinkSplitter = attrs.field(
        default=attrs.Factory(lambda self: ThinkSplitter(self.think_tags), takes_self=True), init=False, repr=False
    )
    _calls: CallPieces = attrs.field(
        default=attrs.Factory(lambda self: CallPieces(self.names), takes_self=True), init=False, repr=False
    )
    _reasoning: TextJoiner = attrs.field(factory=TextJoiner, init=False, repr=False)
    _text: TextJoiner = attrs.field(factory=TextJoiner, init=False, repr=False)
    _said: list[TextDelta | ReasoningDelta] = attrs.field(factory=list, init=False)
    _usage: Usage = attrs.field(factory=Usage, init=False)
    _kept: KeptFields = attrs.field(factory=KeptFields, init=False, repr=False)
    _finish_reason: Any = attrs.field(default=None, init=False)
    _index: int | None = attrs.field(default=None, init=False)
    _in_deltas: bool = attrs.field(default=False, init=False)
    _passed_over: bool = attrs.field(default=False, init=False)

    def feed(self, chunk: Mapping[str, Any]) -> list[Delta]:
        """Take in a chunk and return the new deltas. Raises `ValueError` for a chunk of another shape."""
        # A stream has thousands of chunks, so the usual shape is recognised first and unusual ones take longer.
        if (text := self._find_plain_text(chunk)) is not None:
            self._in_deltas = True
            said = self._splitter.feed(text) if (text := self._text.feed(text)) else []
            self._said += said
            return [*said]
        choices = mapping_of(chunk, "the chunk").get("choices")
        if (not choices or chunk.get("error")) and (error := reported_error(chunk)) is not None:
            raise ReportedError(f"the stream broke off with an error: {error}", error)
        choice: Mapping[str, Any] | None
        if type(choices) is list and len(choices) == 1 and type(choices[0]) is dict:
            choice = choices[0] if choices[0].get("index") == self._index else self._find_choice(choices)
        else:
            choice = self._find_choice(mappings_of(choices, "choices"))
        if chunk.get("usage") or "x_groq" in chunk or (choice is not None and "usage" in choice):
            usage = usage_in(chunk, choice or {})
            # Some servers send empty counts, too: the last counts with a number stay.
            if usage.total_tokens:
                self._usage = usage
        return [] if choice is None else self._read_choice(choice)

    def end(self) -> list[Delta]:
        """End the stream and return the text held back as a possible beginning of a tag or a character."""
        rest: list[TextDelta | ReasoningDelta] = []
        if thought := self._reasoning.end():
            rest.append(ReasoningDelta(thought))
        if text := self._text.end():
            rest += self._splitter.feed(text)
        rest += self._splitter.end()
        # `response` joins all of `_said`, the rest included.
        self._said += rest
        return [*rest]

    def response(self) -> ModelResponse:
        """Return all chunks as one response. Raises `ValueError` for mixed choices and for missing calls."""
        self.end()
        if self._passed_over and not self.finished:
            raise ValueError("the stream has several choices, and the first of them never ended")
        reasoning, content = join_deltas(self._said)
        choice = {"finish_reason": self._finish_reason}
        made = _build_response(content, self._calls.calls(), reasoning, self._usage, choice)
        made.native = self._kept.seal(self.service, content, made.tool_calls, self._calls.extras())
        return made

    def _find_plain_text(self, chunk: Mapping[str, Any]) -> str | None:
        """Return the text of a chunk that has nothing else, or `None` for any other chunk."""
        if type(chunk) is not dict or chunk.get("usage") or not _USUAL.issuperset(chunk):
            return None
        choices = chunk.get("choices")
        if type(choices) is not list or len(choices) != 1 or type(choice := choices[0]) is not dict:
            return None
        if choice.get("index") != self._index or choice.get("finish_reason") or not _USUAL_CHOICE.issuperset(choice):
            return None
        delta = choice.get("delta")
        text = delta.get("content") if type(delta) is dict and len(delta) == 1 else None
        return text if type(text) is str else None

    def _find_choice(self, choices: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """Return the choice to read, by index; a choice without an index belongs to it."""
        indexes = [whole_number(choice.get("index")) for choice in choices]
        if self._index is None:
            self._index = min((index for index in indexes if index is not None), default=None)
        own = [
            choice
            for choice, index in zip(choices, indexes, strict=True)
            if index is None or self._index is None or index == self._index
        ]
        self._passed_over = self._passed_over or len(own) < len(choices)
        return own[0] if own else None

    def _read_choice(self, choice: Mapping[str, Any]) -> list[Delta]:
        reason = choice.get("finish_reason")
        if reason or choice.get("error"):
            _check_choice_failure(choice)
        deltas = self._deltas(choice)
        if reason and is_reason(reason):
            self.finished = True
            self._finish_reason = reason
        return deltas

    def _deltas(self, choice: Mapping[str, Any]) -> list[Delta]:
        delta = choice.get("delta")
        if type(delta) is dict and delta:
            self._in_deltas = True
        else:
            delta = _find_message(choice, ("delta", "message"), {})
            # After deltas, a whole message can only repeat or complete them.
            if self._in_deltas:
                return self._take_rest(delta)
        if self.service:
            self._kept.add(delta)
        reasoning, text = said_in(delta)
        if refusal := delta.get("refusal"):
            text += text_of(refusal, "refusal")
        deltas = self._take_deltas(reasoning, text) if reasoning or text else []
        if "tool_calls" in delta or "function_call" in delta:
            deltas += self._calls.feed(call_bodies(delta))
        return deltas

    def _take_rest(self, message: Mapping[str, Any]) -> list[Delta]:
        """Take the missing rest of a whole message, which some servers send to close a stream.

        Raises `ValueError` if the message contradicts the pieces: nothing tells which of the two is right.
        """
        reasoning, text = split_reasoning(*said_in(message), self.think_tags)
        thought, said = join_deltas(self._said)
        if said.strip() not in text and text.strip() not in said:
            raise ValueError("the message at the end of the stream contradicts its pieces")
        deltas = self._take_deltas(
            "" if thought else reasoning, text.removeprefix(said) if text.startswith(said) else ""
        )
        bodies, known = call_bodies(message), self._calls.calls()
        if not known:
            deltas += self._calls.feed(bodies)
        elif bodies and [call.name for call in whole_calls(message, self.names)] != [call.name for call in known]:
            raise ValueError("the message at the end of the stream has other calls than its pieces")
        return deltas

    def _take_deltas(self, reasoning: str, text: str) -> list[Delta]:
        said: list[TextDelta | ReasoningDelta] = []
        if reasoning := self._reasoning.feed(reasoning):
            # The server separates reasoning itself, so a later tag is part of the answer.
            said = [*self._splitter.end(), ReasoningDelta(reasoning)]
        if text := self._text.feed(text):
            said += self._splitter.feed(text)
        self._said += said
        return [*said]


def _find_message(
    choice: Mapping[str, Any], places: tuple[str, str], default: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """Return the message or the delta of a choice; the older completions have a bare text instead."""
    usual, other = places
    # An empty message counts only if the other place has none.
    message = choice.get(usual) or choice.get(other) or choice.get(usual)
    if message is None and isinstance(choice.get("text"), str):
        return {"content": choice["text"]}
    return mapping_of(default if message is None else message, f"choices[0].{usual}")


def _check_choice_failure(choice: Mapping[str, Any]) -> None:
    """Raise `ReportedError` if the server failed in the middle of the answer: half an answer is not an answer."""
    error, reason = choice.get("error"), choice.get("finish_reason")
    if error or is_failure(reason):
        said = error or {"message": f"the answer ended with finish_reason {reason!r}", "type": "server_error"}
        raise ReportedError(f"the answer broke off with an error: {said}", said)


def _build_response(
    content: str, calls: tuple[ToolCall, ...], reasoning: str, usage: Usage, choice: Mapping[str, Any]
) -> ModelResponse:
    """Return the response. Raises `ValueError` for a finish reason of `tool_calls` without a call or a text."""
    reason: FinishReason = finish_reason(choice.get("finish_reason"), bool(calls))
    if reason == "tool_calls" and not calls:
        if not content:
            raise ValueError("finish_reason is 'tool_calls', and there is no call")
        reason = "stop"
    raw = unknown_reason(choice.get("finish_reason"))
    return ModelResponse(content, calls, reasoning, usage, reason, raw_finish_reason=raw)


def _build_tool(tool: Tool, name: str) -> dict[str, Any]:
    function = {"name": name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _build_tool_choice(choice: str) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _build_settings(settings: ModelSettings) -> dict[str, Any]:
    named = {"temperature": settings.temperature, "max_tokens": settings.max_tokens, "seed": settings.seed}
    body: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    if settings.stop:
        body["stop"] = list(settings.stop)
    return body | dict(settings.extra)
