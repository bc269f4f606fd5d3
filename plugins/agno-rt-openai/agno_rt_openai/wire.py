"""Chat completions as pure functions: requests to bytes in the server's dialect, and the format of answers.

`agno_rt.wire.chat_completions` has the format itself. Opens nothing, reads no clock.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.wire import chat_completions
from agno_rt.wire.lenient_json import read_json, write_json
from agno_rt_openai.cache import make_cache_key, mark_prefixes
from agno_rt_openai.facts import CallIds, ToolChoice

__all__ = ["ChatFormat", "Dialect", "adapt_request", "request_bytes"]


@attrs.frozen(kw_only=True)
class Dialect:
    """The server's variant of the format.

    `official` is OpenAI's own service, and `service` names the server and the model. `tool_choice` is `name` for a
    server that calls the tool whose name was chosen, and accepts any text as the arguments of earlier calls; `required`
    for a server that ignores names; `words` for a service that refuses any choice but `auto`. `call_ids` are
    the ids of calls that the service accepts, and `bridge_results` puts an answer between results and a message.
    `agno_rt.wire.chat_completions` explains `think_tags`, `reasoning_field` and `system_first`. `cache_key` sends a
    name for the beginning of requests, `cache_marks` the ends of the parts that later requests repeat. `store` and
    `encrypted_reasoning` are for the responses format.
    """

    official: bool = False
    service: str = ""
    tool_choice: ToolChoice = "required"
    call_ids: CallIds = "any"
    bridge_results: bool = False
    max_tokens_field: str = "max_tokens"
    seed_field: str = "seed"
    cache_key: bool = False
    cache_marks: bool = False
    store: bool = False
    encrypted_reasoning: bool = False
    think_tags: chat_completions.ThinkTags = "off"
    reasoning_field: str = ""
    system_first: bool = False


def request_bytes(request: ModelRequest, model: str, dialect: Dialect, *, stream: bool) -> bytes:
    """Write the body of a request for a completion.

    Raises `UsageError` for media outside the format, and for values in `settings.extra` outside JSON.
    """
    asked = adapt_request(request, dialect)
    body = chat_completions.request_body(
        asked,
        model,
        reasoning_field=dialect.reasoning_field,
        system_first=dialect.system_first,
        service=dialect.service,
    )
    if "max_tokens" in body and "max_tokens" not in request.settings.extra:
        # OpenAI's reasoning models refuse the old name; most other servers know only the old name.
        body.setdefault(dialect.max_tokens_field, body.pop("max_tokens"))
    if dialect.bridge_results and "messages" not in request.settings.extra:
        body["messages"] = _bridge_results(body["messages"])
    if "seed" in body and "seed" not in request.settings.extra:
        body.setdefault(dialect.seed_field, body.pop("seed"))
    if dialect.cache_key:
        body.setdefault("prompt_cache_key", make_cache_key(request))
    if dialect.cache_marks and "messages" not in request.settings.extra:
        body["messages"] = mark_prefixes(body, body["messages"], "text")
    body.pop("stream", None)
    if stream:
        body["stream"] = True
        body.setdefault("stream_options", {"include_usage": True})
    return write_json(body, model)


def _bridge_results(bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with an answer between results of tools and a message of the user.

    A person may speak to a run under way, and a cancelled run ends with results.
    """
    bridged: list[dict[str, Any]] = []
    for body in bodies:
        if body["role"] == "user" and bridged and bridged[-1]["role"] == "tool":
            bridged.append({"role": "assistant", "content": _BRIDGE})
        bridged.append(body)
    return bridged


_BRIDGE = "I have the results."


def adapt_request(request: ModelRequest, dialect: Dialect) -> ModelRequest:
    """Return the request in terms that the server accepts."""
    if dialect.call_ids != "any":
        request = _fit_call_ids(request, dialect.call_ids)
    if dialect.tool_choice == "name":
        return request
    portable = _make_portable(request)
    return _ask_in_words(portable) if dialect.tool_choice == "words" and request.tools else portable


_FITTING = {"short": re.compile(r".{1,40}", re.DOTALL), "nine": re.compile(r"[a-zA-Z0-9]{9}")}
_LENGTHS = {"short": 32, "nine": 9}


def _fit_call_ids(request: ModelRequest, kind: CallIds) -> ModelRequest:
    """Return the request with fitting ids of calls: a conversation may have calls of another service's model."""
    messages = [_fit_message(message, kind) for message in request.messages]
    # An unchanged message keeps what is sealed to it.
    if all(fitted is message for fitted, message in zip(messages, request.messages, strict=True)):
        return request
    return attrs.evolve(request, messages=messages)


def _fit_message(message: Message, kind: CallIds) -> Message:
    if message.tool_call_id and (id_ := _fit_id(message.tool_call_id, kind)) != message.tool_call_id:
        return attrs.evolve(message, tool_call_id=id_)
    if any(_fit_id(call.id, kind) != call.id for call in message.tool_calls):
        calls = tuple(attrs.evolve(call, id=_fit_id(call.id, kind)) for call in message.tool_calls)
        return attrs.evolve(message, tool_calls=calls)
    return message


@functools.lru_cache(maxsize=1_000)
def _fit_id(id_: str, kind: CallIds) -> str:
    """Return the id if it fits, else a digest, which is the same in each request of a conversation."""
    if _FITTING[kind].fullmatch(id_):
        return id_
    return hashlib.sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()[: _LENGTHS[kind]]


def _ask_in_words(request: ModelRequest) -> ModelRequest:
    """Return the request with its choice in words, at the end: the next request does not repeat them.

    Services refuse a choice while a model thinks, and their models think unless they are told otherwise.
    """
    if request.tool_choice == "auto":
        return request
    wish = "Call one of your tools now."
    if request.tool_choice == "none":
        wish = "Answer without calling a tool."
    elif len(request.tools) == 1:
        wish = f"Call the tool {request.tools[0].name} now."
    messages = list(request.messages)
    if messages and messages[-1].role == "user":
        said = messages.pop()
        content = said.content
        wished = f"{content}\n\n{wish}" if isinstance(content, str) else (*content, wish)
        messages.append(attrs.evolve(said, content=wished))
    else:
        messages.append(Message("user", wish))
    return attrs.evolve(request, messages=messages, tool_choice="auto")


def _make_portable(request: ModelRequest) -> ModelRequest:
    """Return the request in terms that llama.cpp's server accepts, too.

    The server ignores a choice that names a tool, so require the only tool instead. The server refuses a history with
    arguments other than a JSON object, and small models do write such arguments.
    """
    named = [tool for tool in request.tools if tool.name == request.tool_choice]
    messages = [_mend_calls(message) if message.tool_calls else message for message in request.messages]
    if named:
        return attrs.evolve(request, messages=messages, tools=named, tool_choice="required")
    return attrs.evolve(request, messages=messages)


def _mend_calls(message: Message) -> Message:
    return attrs.evolve(message, tool_calls=tuple(map(_mend_arguments, message.tool_calls)))


def _mend_arguments(call: ToolCall) -> ToolCall:
    try:
        # Blank arguments are sent as an object.
        if not call.arguments.strip() or isinstance(msgspec.json.decode(call.arguments), dict):
            return call
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    # A server's own parser fails on half a character in the arguments, in every later request.
    arguments = read_json(call.arguments.encode("utf-8", "surrogatepass"))
    whole = (
        json.dumps(chat_completions.mend_value(arguments), ensure_ascii=False) if isinstance(arguments, dict) else "{}"
    )
    return attrs.evolve(call, arguments=whole)


@attrs.frozen
class ChatFormat:
    """The format of chat completions. `names` maps names of tools back (`chat_completions.tool_names`)."""

    dialect: Dialect
    names: Mapping[str, str]
    noun: str = "chat completion"

    def read(self, body: Mapping[str, Any]) -> ModelResponse:
        """Return the response in a whole completion."""
        return chat_completions.response(body, self.dialect.think_tags, self.names, self.dialect.service)

    def begin(self) -> chat_completions.StreamedResponse:
        """Return an empty response for the chunks of a stream."""
        return chat_completions.StreamedResponse(self.dialect.think_tags, self.names, self.dialect.service)
