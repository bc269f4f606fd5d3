"""Ollama's chat format as pure functions: requests to bytes, and values of answers to a response. Opens nothing.

References: Ollama's documentation, "API" (its section "Generate a chat completion"), "Tool calling", "Thinking",
"Structured outputs" and "Errors"; the types of its Python SDK. Answers are read through the chat completions format,
which has the same parts under other names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.errors import UsageError
from agno_rt.events import Delta
from agno_rt.media import described, inlined
from agno_rt.messages import Media, Message, Part, ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.tools import Tool
from agno_rt.wire.chat_completions import ReportedError, StreamedResponse, ThinkTags, mend_value
from agno_rt.wire.lenient_json import read_json, write_json
from agno_rt.wire.output_words import ask_for_output
from agno_rt.wire.refusals import describe_error
from agno_rt_ollama.profile import Facts

__all__ = ["ChatFormat", "read_error", "request_bytes"]


def request_bytes(request: ModelRequest, model: str, facts: Facts, *, stream: bool) -> bytes:
    """Write the body of a request for an answer.

    The conversation stands last, so that the bytes of a longer conversation begin with those of a shorter one. Raises
    `UsageError` for media outside the format, and for values in `settings.extra` outside JSON.
    """
    extra = dict(request.settings.extra)
    body: dict[str, Any] = {"model": model, "stream": stream}
    options = {**_build_options(request, facts), **_take_table(extra, "options")}
    if options:
        body["options"] = options
    if facts.keep_alive is not None:
        body["keep_alive"] = facts.keep_alive
    if facts.think is not None:
        body["think"] = facts.think
    messages = list(request.messages)
    tools = _choose_tools(request)
    if tools:
        body["tools"] = [_build_tool(tool) for tool in tools]
    if request.output is not None:
        if tools:
            # The format would bind calls of tools as well: a model under a grammar cannot call anything.
            messages = ask_for_output(messages, request.output, model)
        else:
            body["format"] = request.output
    rendered = [body for message in messages for body in _render_message(message)]
    if tools and request.tool_choice != "auto":
        _ask_for_call(rendered, request.tool_choice)
    body |= extra
    body["stream"] = stream
    # Messages in `extra` replace the request's own, in the same place.
    body["messages"] = body.pop("messages", rendered)
    return write_json(body, model)


def _take_table(extra: dict[str, Any], name: str) -> Mapping[str, Any]:
    return extra.pop(name) if isinstance(extra.get(name), Mapping) else {}


def _build_options(request: ModelRequest, facts: Facts) -> dict[str, Any]:
    settings = request.settings
    named = {
        "num_ctx": facts.num_ctx,
        "temperature": settings.temperature,
        "num_predict": settings.max_tokens,
        "seed": settings.seed,
        "stop": list(settings.stop) or None,
    }
    return {**(facts.options or {}), **{name: value for name, value in named.items() if value is not None}}


def _choose_tools(request: ModelRequest) -> Sequence[Tool]:
    """Return the tools to offer. The format has no choice: a model that sees one tool calls no other."""
    if request.tool_choice == "none":
        return ()
    named = [tool for tool in request.tools if tool.name == request.tool_choice]
    return named or request.tools


def _ask_for_call(bodies: list[dict[str, Any]], choice: str) -> None:
    """Ask in words for a call, at the end of the conversation: the next request does not repeat the words."""
    wish = "Call one of your tools now." if choice == "required" else f"Call the tool {choice} now."
    if bodies and bodies[-1]["role"] == "user":
        bodies[-1] = {**bodies[-1], "content": f"{bodies[-1]['content']}\n\n{wish}".strip()}
    else:
        bodies.append({"role": "user", "content": wish})


def _build_tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _render_message(message: Message) -> list[dict[str, Any]]:
    """Return the message in the format: several, if texts and images take turns. An empty answer is left out."""
    bodies = _render_parts(message)
    if message.role == "assistant":
        if message.tool_calls:
            bodies[-1]["tool_calls"] = [_build_call(call) for call in message.tool_calls]
        elif not message.text.strip():
            return []
        if message.reasoning:
            bodies[0]["thinking"] = message.reasoning
    if message.role == "tool":
        for body in bodies:
            body |= {"tool_name": message.name or "", "tool_call_id": message.tool_call_id or ""}
    return bodies


def _render_parts(message: Message) -> list[dict[str, Any]]:
    """Return the texts and images in order.

    The server puts the images of a message before its text, so an image after a text begins a new message.
    """
    content = inlined(message.content)
    parts: tuple[Part, ...] = (content,) if isinstance(content, str) else content
    groups: list[tuple[list[str], list[str]]] = [([], [])]
    for part in parts:
        if isinstance(part, Media):
            if groups[-1][1]:
                groups.append(([], []))
            groups[-1][0].append(_encode_image(part, message.role))
        else:
            groups[-1][1].append(part)
    return [
        {"role": message.role, **({"images": images} if images else {}), "content": "\n".join(texts)}
        for images, texts in groups
    ]


def _encode_image(media: Media, role: str) -> str:
    if role not in ("user", "tool"):
        hint = "In this format, only messages of the user and results of tools can hold images."
        raise UsageError(f"a message of the role {role} holds {described(media)}", hint=hint)
    if media.kind != "image":
        raise UsageError(f"{described(media)} cannot be sent to Ollama", hint="Send images, and other files as text.")
    if media.data is None:
        raise UsageError(f"{described(media)} cannot be sent by its URL", hint="Send the image's bytes.")
    return base64.b64encode(media.data).decode("ascii")


def _build_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "function": {"name": call.name, "arguments": _read_arguments(call.arguments)}}


def _read_arguments(arguments: str) -> Any:
    """Return the arguments as an object, which the server demands even of a call with broken arguments."""
    try:
        if isinstance(msgspec.json.decode(arguments), dict):
            return msgspec.Raw(arguments.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    value = read_json(arguments.encode("utf-8", "surrogatepass"))
    return mend_value(value) if isinstance(value, dict) else {}


def read_error(error: Any) -> tuple[Any, str]:
    """Return the words and the kind of an error, for `Peer`: the server's errors are bare texts."""
    if isinstance(error, Mapping) and isinstance(error.get("error"), str):
        error = error["error"]
    return describe_error(error)


@attrs.frozen
class ChatFormat:
    """The format of answers. `think_tags` tells where a model may write reasoning in tags, see `chat_completions`."""

    think_tags: ThinkTags = "off"
    noun: str = "chat answer"

    def read(self, body: Mapping[str, Any]) -> ModelResponse:
        """Return the response in a whole answer. Raises `ValueError` and `ReportedError`."""
        pieces = ChatPieces(self.think_tags)
        pieces.feed(body)
        if not pieces.finished:
            raise ValueError("done is not true")
        return pieces.response()

    def begin(self) -> ChatPieces:
        """Return an empty response for the values of a stream."""
        return ChatPieces(self.think_tags)


class ChatPieces:
    """A response that arrives in values: `feed` each, call `end`, then take the `response`.

    `finished` is true after the value with `done`, which also has the counts.
    """

    __slots__ = ("_calls", "_pieces", "finished")

    def __init__(self, think_tags: ThinkTags) -> None:
        self.finished = False
        self._calls = 0
        self._pieces = StreamedResponse(think_tags)

    def feed(self, value: Mapping[str, Any]) -> list[Delta]:
        """Take in a value and return the new deltas. Raises `ValueError` for a value of another shape."""
        if error := value.get("error"):
            # The status of such an error is 500 if it comes before any text.
            said = error if isinstance(error, Mapping) else {"message": error, "type": "server_error"}
            raise ReportedError(f"the server reported an error: {error}", said)
        message = value.get("message")
        if message is None and value.get("done"):
            message = {}
        if type(message) is not dict:
            raise ValueError(f"message is {type(message).__name__}, not an object")
        delta = {"content": message.get("content")}
        if thought := message.get("thinking"):
            delta["thinking"] = thought
        if calls := message.get("tool_calls"):
            delta["tool_calls"] = [self._read_call(call, value) for call in _check_list(calls)]
        if not value.get("done"):
            return self._pieces.feed({"choices": [{"delta": delta}]})
        self.finished = True
        counts = {"prompt_tokens": value.get("prompt_eval_count"), "completion_tokens": value.get("eval_count")}
        # The server says `stop` after calls, too.
        reason = value.get("done_reason") or "stop"
        reason = "tool_calls" if self._calls and reason == "stop" else reason
        return self._pieces.feed({"choices": [{"delta": delta, "finish_reason": reason}], "usage": counts})

    def end(self) -> list[Delta]:
        """Return the deltas that were held back."""
        return self._pieces.end()

    def response(self) -> ModelResponse:
        """Return all values as one response."""
        return self._pieces.response()

    def _read_call(self, call: Any, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the call with a number and an id.

        Older servers give no ids, and number the calls of each value from 0. An id is made of the call and of the time
        of the answer, so that no two calls of a conversation have the same.
        """
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise ValueError("tool_calls has a call without a function")
        number, self._calls = self._calls, self._calls + 1
        made = f"{value.get('created_at')} {number} {function.get('name')} {function.get('arguments')}"
        digest = hashlib.blake2b(made.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
        given = call.get("id")
        return {
            "index": number,
            "id": given if isinstance(given, str) and given else f"call_{digest}",
            "function": {"name": function.get("name"), "arguments": function.get("arguments")},
        }


def _check_list(calls: Any) -> list[Any]:
    if not isinstance(calls, list):
        raise ValueError(f"tool_calls is {type(calls).__name__}, not a list")
    return calls
