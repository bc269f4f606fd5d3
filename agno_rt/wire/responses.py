"""OpenAI's responses format as pure functions: the body of a request, whole answers, and events of a stream.

Reference: the OpenAI API reference, "Create a model response" and "Streaming events". Open servers (llama.cpp, vLLM,
LM Studio) convert the format to chat completions, and leave out events and fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.wire._lenient import (
    finish_reason,
    mapping_of,
    mappings_of,
    read_thoughts,
    reported_error,
    said_in,
    text_of,
    unknown_reason,
    usage_in,
    whole_number,
)
from agno_rt.wire._response_items import Keeper, render_items, split_instructions
from agno_rt.wire._strict import is_strict
from agno_rt.wire._text import TextJoiner, mend_text
from agno_rt.wire._think import ThinkSplitter, ThinkTags, join_deltas, split_reasoning
from agno_rt.wire.chat_completions import ReportedError, tool_names

__all__ = ["Answered", "Keeper", "StreamedAnswer", "answered", "render_nothing", "request_body", "split_instructions"]

_NO_NAMES: Mapping[str, str] = {}
_BETWEEN = "\n\n"
"""Stands between two parts of reasoning, which the format keeps apart."""


def render_nothing(message: Message) -> None:
    """Return `None`: no items of the server's own are kept, so that every message is rendered."""


def request_body(
    request: ModelRequest,
    model: str,
    *,
    keep: Keeper = render_nothing,
    system_first: bool = False,
    known: int = 0,
) -> dict[str, Any]:
    """Return the JSON body that asks `model` for a response; `settings.extra` overrides all other fields.

    `keep` returns the items of an earlier answer as the server sent them. Of the messages after the system messages at
    the start, the first `known` are left out, because the server has them. System messages at the start become
    instructions; with `system_first`, all of them do. Tools with names that the format does not allow are renamed;
    `chat_completions.tool_names` maps the names back. Raises `UsageError` for media that the format cannot carry.
    """
    names = {name: wire for wire, name in tool_names(request).items()}
    instructions, messages = split_instructions(request.messages, everywhere=system_first)
    body: dict[str, Any] = {"model": model, "input": render_items(messages[known:], names, keep)}
    if instructions:
        body["instructions"] = instructions
    if request.tools:
        # Without `strict`, the format takes a schema for strict and changes the schema.
        body["tools"] = [
            {
                "type": "function",
                "name": names.get(tool.name, tool.name),
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": False,
            }
            for tool in request.tools
        ]
        choice = request.tool_choice
        is_name = choice not in ("auto", "none", "required")
        body["tool_choice"] = {"type": "function", "name": names.get(choice, choice)} if is_name else choice
    if request.output is not None:
        schema = {"name": "output", "schema": request.output, "strict": is_strict(request.output)}
        body["text"] = {"format": {"type": "json_schema", **schema}}
    settings = request.settings
    named = {"temperature": settings.temperature, "max_output_tokens": settings.max_tokens, "seed": settings.seed}
    body |= {key: value for key, value in named.items() if value is not None}
    if settings.stop:
        body["stop"] = list(settings.stop)
    return body | dict(settings.extra)


@attrs.frozen
class Answered:
    """A response, with the server's id for the response and the items of the output as the server sent them."""

    response: ModelResponse
    id: str
    output: Sequence[Mapping[str, Any]]


def answered(body: Mapping[str, Any], think_tags: ThinkTags = "off", names: Mapping[str, str] = _NO_NAMES) -> Answered:
    """Return the response in a body. Raises `ValueError` for a body of another shape, `ReportedError` for an error.

    `think_tags` and `names` are as in `chat_completions.response`.
    """
    body = mapping_of(body, "the body")
    _check_failure(body)
    if "output" not in body:
        raise ValueError("output is missing")
    output = mappings_of(body.get("output"), "output")
    said = _read_output(output, names)
    if not output and body.get("status") != "incomplete":
        raise ValueError("output is empty")
    reasoning, content = split_reasoning(said.reasoning, said.content, think_tags)
    said = attrs.evolve(said, reasoning=reasoning, content=content)
    return Answered(_build_response(said, body), _read_id(body), output)


@attrs.frozen
class _Said:
    """The parts of an output."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()


def _read_output(output: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> _Said:
    content: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolCall] = []
    for item in output:
        match item.get("type", "message"):
            case "message":
                content.append(said_in(item)[1])
            case "reasoning":
                reasoning.append(_read_reasoning(item))
            case "function_call":
                name = text_of(item.get("name"), "name")
                id_ = _read_call_id(item) or f"call_{len(calls)}"
                arguments = mend_text(text_of(item.get("arguments"), "arguments"))
                calls.append(ToolCall(id_, names.get(name, mend_text(name)), arguments))
    return _Said(mend_text("".join(content)), mend_text(_BETWEEN.join(filter(None, reasoning))), tuple(calls))


def _read_reasoning(item: Mapping[str, Any]) -> str:
    """Return the reasoning itself, or else its summary."""
    for name in ("content", "summary"):
        parts = item.get(name)
        texts = [read_thoughts(part) for part in parts] if isinstance(parts, list) else [read_thoughts(parts)]
        if said := _BETWEEN.join(filter(None, texts)):
            return said
    return ""


def _build_response(said: _Said, body: Mapping[str, Any]) -> ModelResponse:
    details = body.get("incomplete_details")
    word = details.get("reason") if isinstance(details, Mapping) else None
    if not word and body.get("status") == "incomplete":
        word = "incomplete"
    return ModelResponse(
        said.content,
        said.calls,
        said.reasoning,
        usage_in(body, {}),
        finish_reason(word, bool(said.calls)),
        raw_finish_reason=unknown_reason(word),
    )


def _check_failure(body: Mapping[str, Any]) -> None:
    """Raise `ReportedError` for an error, and for a response that failed or was cancelled."""
    error = body.get("error") if body.get("object") == "response" else reported_error(body)
    if not error and body.get("status") in ("failed", "cancelled"):
        error = {"message": f"the response ended with the status {body['status']!r}", "type": "server_error"}
    if error:
        raise ReportedError(f"the server reported an error: {error}", error)


def _read_id(body: Mapping[str, Any]) -> str:
    id_ = body.get("id")
    return id_ if isinstance(id_, str) else ""


def _read_call_id(item: Mapping[str, Any]) -> str:
    return mend_text(text_of(item.get("call_id") or item.get("id"), "call_id"))


@attrs.define(eq=False)
class _Call:
    """A call that is still arriving."""

    number: int
    id: str
    name: str
    arguments: str = ""


@attrs.define
class StreamedAnswer:
    """A response that arrives in events: `feed` each event, call `end`, then read what was `answered`.

    `finished` is true after the last event of the response. `think_tags` and `names` are as in `answered`. The events'
    pieces are the answer, and the last event completes them.
    """

    think_tags: ThinkTags = "off"
    names: Mapping[str, str] = _NO_NAMES
    finished: bool = attrs.field(default=False, init=False)
    _splitter: ThinkSplitter = attrs.field(
        default=attrs.Factory(lambda self: ThinkSplitter(self.think_tags), takes_self=True), init=False, repr=False
    )
    _text: TextJoiner = attrs.field(factory=TextJoiner, init=False, repr=False)
    _reasoning: TextJoiner = attrs.field(factory=TextJoiner, init=False, repr=False)
    _said: list[TextDelta | ReasoningDelta] = attrs.field(factory=list, init=False)
    _texts: list[str] = attrs.field(factory=list, init=False)
    _calls: dict[Any, _Call] = attrs.field(factory=dict, init=False)
    _items: dict[int, Mapping[str, Any]] = attrs.field(factory=dict, init=False)
    _thought: tuple[Any, ...] | None = attrs.field(default=None, init=False)
    _last: Mapping[str, Any] = attrs.field(factory=dict, init=False)

    def feed(self, event: Mapping[str, Any]) -> list[Delta]:
        """Take in an event and return the new deltas. Raises `ValueError` for an event of another shape."""
        # A stream has thousands of pieces of text, so they are recognised first.
        match mapping_of(event, "the event").get("type"):
            case "response.output_text.delta" | "response.refusal.delta":
                return self._take_text(text_of(event.get("delta"), "delta"))
            case "response.function_call_arguments.delta":
                return self._add_arguments(self._find_call(event), text_of(event.get("delta"), "delta"))
            case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
                return self._take_reasoning(event)
        return self._take_rare(event)

    def _take_rare(self, event: Mapping[str, Any]) -> list[Delta]:
        """Take in an event that comes once for an item or for the response; other events are ignored."""
        match event.get("type"):
            case "response.function_call_arguments.done":
                return self._complete_arguments(self._find_call(event), event.get("arguments"))
            case "response.output_item.added":
                return self._begin_item(event)
            case "response.output_item.done":
                return self._end_item(event)
            case "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled":
                self._finish(mapping_of(event.get("response"), "response"))
            case None if event.get("object") == "response":
                self._finish(event)
            case None | "error":
                _check_failure(event)
        return []

    def end(self) -> list[Delta]:
        """End the stream and return what the pieces left out: parts of the last event, and held back text."""
        rest: list[Delta] = []
        if thought := self._reasoning.end():
            rest += self._note([ReasoningDelta(thought)])
        if text := self._text.end():
            rest += self._split_text(text)
        whole, content = _read_output(self._output(), self.names), "".join(self._texts)
        if whole.reasoning and not any(isinstance(delta, ReasoningDelta) for delta in self._said):
            rest += self._note([ReasoningDelta(whole.reasoning)])
        if whole.content != content and whole.content.startswith(content):
            rest += self._split_text(whole.content[len(content) :])
        rest += self._note(self._splitter.end())
        if whole.calls and not self._calls:
            rest += [ToolCallDelta(at, call.id, call.name, call.arguments) for at, call in enumerate(whole.calls)]
        return rest

    def answered(self) -> Answered:
        """Return all events as one response. Raises `ValueError` if the last event contradicts the pieces."""
        output = self._output()
        whole, content = _read_output(output, self.names), "".join(self._texts)
        if whole.content and whole.content != content:
            raise ValueError("the end of the stream contradicts its pieces")
        reasoning, content = join_deltas(self._said)
        pieces = tuple(
            ToolCall(call.id or f"call_{call.number}", call.name, mend_text(call.arguments))
            for call in {id(call): call for call in self._calls.values()}.values()
        )
        said = _Said(content, reasoning, whole.calls or pieces)
        return Answered(_build_response(said, self._last), _read_id(self._last), output)

    def _output(self) -> Sequence[Mapping[str, Any]]:
        """Return the items of the last event, or else the finished items before it."""
        return mappings_of(self._last.get("output"), "output") or [self._items[at] for at in sorted(self._items)]

    def _finish(self, response: Mapping[str, Any]) -> None:
        _check_failure(response)
        self._last, self.finished = response, True

    def _begin_item(self, event: Mapping[str, Any]) -> list[Delta]:
        item = mapping_of(event.get("item"), "item")
        if item.get("type") != "function_call":
            return []
        name = text_of(item.get("name"), "name")
        number = len({id(call) for call in self._calls.values()})
        call = _Call(number, _read_call_id(item), self.names.get(name, mend_text(name)))
        for key in (whole_number(event.get("output_index")), item.get("id")):
            if key is not None:
                self._calls[key] = call
        if not self._calls:
            self._calls[None] = call
        deltas: list[Delta] = [ToolCallDelta(number, call.id, call.name)]
        return deltas + self._add_arguments(call, text_of(item.get("arguments"), "arguments"))

    def _find_call(self, event: Mapping[str, Any]) -> _Call:
        for key in (whole_number(event.get("output_index")), event.get("item_id"), None):
            if key in self._calls:
                return self._calls[key]
        raise ValueError("arguments came before their call")

    def _add_arguments(self, call: _Call, piece: str) -> list[Delta]:
        if not piece:
            return []
        call.arguments += piece
        return [ToolCallDelta(call.number, arguments=mend_text(piece))]

    def _complete_arguments(self, call: _Call, arguments: Any) -> list[Delta]:
        whole = text_of(arguments, "arguments")
        if not whole.startswith(call.arguments):
            raise ValueError(f"the arguments of {call.name!r} contradict their pieces")
        return self._add_arguments(call, whole[len(call.arguments) :])

    def _end_item(self, event: Mapping[str, Any]) -> list[Delta]:
        item = mapping_of(event.get("item"), "item")
        at = whole_number(event.get("output_index"))
        self._items[len(self._items) if at is None else at] = item
        if item.get("type") != "function_call":
            return []
        known = any(key in self._calls for key in (at, item.get("id")) if key is not None)
        deltas = [] if known else self._begin_item({**event, "item": {**item, "arguments": ""}})
        call = self._find_call({"output_index": at, "item_id": item.get("id")})
        return deltas + self._complete_arguments(call, item.get("arguments"))

    def _take_text(self, piece: str) -> list[Delta]:
        text = self._text.feed(piece)
        return self._split_text(text) if text else []

    def _split_text(self, text: str) -> list[Delta]:
        self._texts.append(text)
        said = self._splitter.feed(text)
        self._said += said
        return [*said]

    def _take_reasoning(self, event: Mapping[str, Any]) -> list[Delta]:
        kind = event["type"]
        if self._thought is not None and self._thought[0] != kind:
            # The reasoning itself and its summary: the first of the two is the reasoning.
            return []
        place = (kind, event.get("output_index"), event.get("summary_index", event.get("content_index")))
        begins = self._thought is not None and place != self._thought
        self._thought = place
        text = self._reasoning.feed((_BETWEEN if begins else "") + text_of(event.get("delta"), "delta"))
        return self._note([ReasoningDelta(text)]) if text else []

    def _note(self, deltas: Sequence[TextDelta | ReasoningDelta]) -> list[Delta]:
        self._said += deltas
        return [*deltas]
