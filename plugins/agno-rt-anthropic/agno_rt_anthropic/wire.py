"""The messages format as pure functions: requests to bytes. `answers` reads answers. Opens nothing, reads no clock.

Reference: Anthropic's API reference, "Create a Message", and its guides "Handle tool calls", "Thinking", "Prompt
caching" and "Structured outputs".
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.errors import UsageError
from agno_rt.media import described, inlined
from agno_rt.messages import Media, Message, Part, ToolCall
from agno_rt.models import ModelRequest
from agno_rt.tools import Tool
from agno_rt.wire.cache_marks import cache_marks
from agno_rt.wire.chat_completions import mend_value, tool_names
from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.native import native_for
from agno_rt.wire.schema_subset import fit_schema
from agno_rt_anthropic.facts import Facts

__all__ = ["SERVICE", "VERSION", "Dialect", "Sealed", "header_betas", "request_bytes"]

SERVICE = "anthropic messages"
"""The name under which answers of Anthropic's own service are sealed."""

VERSION = "2023-06-01"
"""The version of the API that accepts a temperature."""

_NO_SAMPLING = "2026-10-21"
"""The first version that refuses a temperature."""

_BINDING_BETA = "thinking-binding-controls-2026-08-01"
_EDIT_BETAS = {"clear_": "context-management-2025-06-27", "compact_": "compact-2026-01-12"}
"""The beta that each kind of context edit needs, by the beginning of the edit's type."""

_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/*")
_PDF = "application/pdf"
_ID = re.compile(r"[a-zA-Z0-9_-]{1,128}")


@attrs.frozen(kw_only=True)
class Dialect:
    """The variant of the format for one model of one service.

    model               the model's name
    service             the name under which answers are sealed, see `agno_rt.wire.native`
    facts               the model's facts and the choices for its requests
    version             the version of the API
    cache               the lifetime of cached prefixes: `5m`, `1h`, or `off`
    parallel_tools      the model may call several tools at once
    server_tools        tools that the service runs, as in its reference
    context_management  edits that the service makes to long conversations, as in its reference
    drop_stale_thinking the service leaves out thinking whose history has changed, in place of an error
    betas               further names of betas
    """

    model: str
    service: str = SERVICE
    facts: Facts = attrs.field(factory=Facts)
    version: str = VERSION
    cache: str = "5m"
    parallel_tools: bool = True
    server_tools: tuple[Mapping[str, Any], ...] = ()
    context_management: Mapping[str, Any] = attrs.field(factory=dict)
    drop_stale_thinking: bool = True
    betas: tuple[str, ...] = ()


class Sealed(msgspec.Struct):
    """An answer's own blocks with the model that wrote them, as sealed to a message."""

    model: str
    content: msgspec.Raw


_SEALED = msgspec.json.Decoder(Sealed)


def header_betas(dialect: Dialect) -> tuple[str, ...]:
    """Return the names for the header `anthropic-beta`: those of the settings, and those that the requests need."""
    types = [str(edit.get("type", "")) for edit in dialect.context_management.get("edits", ())]
    needed = [beta for start, beta in _EDIT_BETAS.items() if any(type_.startswith(start) for type_ in types)]
    if _binds_thinking(dialect):
        needed.append(_BINDING_BETA)
    return tuple(dict.fromkeys((*dialect.betas, *needed)))


def request_bytes(request: ModelRequest, dialect: Dialect, *, stream: bool) -> bytes:
    """Write the body of a request for a message.

    The conversation stands last, so that the bytes of a longer conversation begin with those of a shorter one, apart
    from the marks for the cache. Raises `UsageError` for media and settings outside the format, and for values in
    `settings.extra` outside JSON.
    """
    body = _request_body(request, dialect)
    if stream:
        body["stream"] = True
    else:
        body.pop("stream", None)
    # Conversations in `extra` replace the request's own, in the same place.
    body["messages"] = body.pop("messages")
    try:
        try:
            return msgspec.json.encode(body)
        except UnicodeEncodeError:
            # Half a surrogate pair, as in an undecodable file name, has no JSON encoding.
            return msgspec.json.encode(mend_value(body))
    except (TypeError, ValueError, RecursionError) as exc:
        hint = "Look for unusual objects in ModelSettings.extra."
        raise UsageError(f"the request to {dialect.model!r} cannot be written as JSON: {exc}", hint=hint) from exc


def _request_body(request: ModelRequest, dialect: Dialect) -> dict[str, Any]:
    names = {own: wire for wire, own in tool_names(request).items()}
    system, bodies, ends = _render_messages(request.messages, names, dialect)
    tools = [_build_tool(tool, names.get(tool.name, tool.name)) for tool in request.tools]
    tools += [dict(tool) for tool in dialect.server_tools]
    choice = _build_tool_choice(request, names, dialect)
    if not tools and (stubs := _build_stubs(bodies)):
        tools, choice = stubs, {"type": "none"}
    output = _build_output(request, dialect, system)
    if dialect.cache != "off" and "cache_control" not in request.settings.extra:
        places = [ends[at] for at in cache_marks(request.messages) if at in ends]
        _mark_prefixes([*tools[-1:], *system[-1:], *places], dialect.cache)
    # After the marks, because the next request does not repeat this text.
    if request.tool_choice not in ("auto", "none") and choice.get("type") == "auto":
        _ask_for_tool(bodies, names.get(request.tool_choice, request.tool_choice))
    parts: dict[str, Any] = {
        "model": dialect.model,
        **_build_settings(request, dialect),
        "output_config": output,
        "context_management": dict(dialect.context_management),
        "tools": tools,
        "tool_choice": choice,
        "system": system,
    }
    # Empty parts are left out, but not a temperature of 0.
    body = {name: value for name, value in parts.items() if value or not isinstance(value, dict | list)}
    return _merge_extra({**body, "messages": bodies}, request.settings.extra)


def _merge_extra(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with the extra fields, which win; `output_config` keeps its other keys."""
    merged = {**body, **extra}
    if isinstance(extra.get("output_config"), Mapping) and "output_config" in body:
        merged["output_config"] = {**body["output_config"], **extra["output_config"]}
    return merged


def _build_settings(request: ModelRequest, dialect: Dialect) -> dict[str, Any]:
    """Return the parameters of the answer. The format has no seed, and newer models accept no temperature."""
    settings, facts = request.settings, dialect.facts
    thinking = _build_thinking(dialect)
    budget = thinking.get("budget_tokens", 0)
    most = settings.max_tokens
    if most is None:
        most = (facts.max_tokens or 16_000) + budget
        most = min(most, facts.max_output or most)
    if budget and budget >= most:
        hint = "Raise max_tokens above the budget in thinking, or lower the budget."
        raise UsageError(f"{dialect.model} may think for {budget} tokens, and answer with {most} in all", hint=hint)
    built: dict[str, Any] = {"max_tokens": most, "thinking": thinking}
    # Thinking with a budget excludes other temperatures than the default.
    if facts.sampling and not budget and dialect.version < _NO_SAMPLING:
        built["temperature"] = settings.temperature
    if settings.stop:
        built["stop_sequences"] = list(settings.stop)
    return {name: value for name, value in built.items() if value is not None}


def _binds_thinking(dialect: Dialect) -> bool:
    return bool(
        dialect.drop_stale_thinking
        and dialect.facts.checks_history
        and _build_thinking(dialect).get("type") == "adaptive"
    )


def _build_thinking(dialect: Dialect) -> dict[str, Any]:
    facts = dialect.facts
    asked = facts.thinking
    if asked is None or asked == "auto":
        if not facts.thinks_unasked:
            return {}
        # Said aloud only to ask for summaries: the newest models leave them out by default.
        asked = "adaptive"
    if asked == "off":
        accepted = facts.thinks or ("disabled",)
        type_ = next((type_ for type_ in ("disabled", "between_tools") if type_ in accepted), "")
        if not type_:
            hint = "Leave thinking out, and set effort to 'low'."
            raise UsageError(f"{dialect.model} cannot be told not to think", hint=hint)
        return {"type": type_}
    thinking: dict[str, Any] = {"type": "adaptive" if asked == "adaptive" else "enabled"}
    if facts.thinks is not None and thinking["type"] not in facts.thinks:
        hint = "Set effort instead." if thinking["type"] == "enabled" else "Give a budget in tokens, as in 8000."
        raise UsageError(f"{dialect.model} does not accept thinking = {asked!r}", hint=hint)
    if thinking["type"] == "enabled":
        thinking["budget_tokens"] = asked
    if facts.show_thinking:
        thinking["display"] = "summarized"
    if thinking["type"] == "adaptive" and facts.checks_history and dialect.drop_stale_thinking:
        thinking["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
    return thinking


def _build_output(request: ModelRequest, dialect: Dialect, system: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the configuration of the output; a schema beyond the API's subset goes into the system prompt instead."""
    output: dict[str, Any] = {"effort": dialect.facts.effort} if dialect.facts.effort else {}
    if request.output is not None:
        schema = fit_schema(request.output)
        if schema is None:
            system.append({"type": "text", "text": _ANSWER + msgspec.json.encode(request.output).decode()})
        else:
            output["format"] = {"type": "json_schema", "schema": schema}
    return output


_ANSWER = "Answer with one JSON value that fits this JSON Schema, without any other words and without a code fence:\n"


def _build_tool(tool: Tool, name: str) -> dict[str, Any]:
    body: dict[str, Any] = {"name": name}
    if tool.description.strip():
        body["description"] = tool.description
    body["input_schema"] = tool.parameters
    return body


def _build_stubs(bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tools for the calls in a conversation that is continued without tools: the API wants each one declared."""
    called = {
        block["name"]: None
        for body in bodies
        for block in _list_blocks(body["content"])
        if block.get("type") == "tool_use"
    }
    return [{"name": name, "input_schema": {"type": "object"}} for name in called]


def _list_blocks(content: Any) -> Sequence[Mapping[str, Any]]:
    blocks: Sequence[Mapping[str, Any]] = msgspec.json.decode(content) if isinstance(content, msgspec.Raw) else content
    return blocks


def _build_tool_choice(request: ModelRequest, names: Mapping[str, str], dialect: Dialect) -> dict[str, Any]:
    choice = request.tool_choice
    if not request.tools:
        return {}
    if choice == "none":
        return {"type": "none"}
    built: dict[str, Any] = {"type": "auto"}
    thinks_by_budget = _build_thinking(dialect).get("type") == "enabled"
    if choice != "auto" and dialect.facts.forced_tools is not False and not thinks_by_budget:
        built = {"type": "any"} if choice == "required" else {"type": "tool", "name": names.get(choice, choice)}
    if not dialect.parallel_tools:
        built["disable_parallel_tool_use"] = True
    # The default goes without saying, but a choice that becomes words must not look like no choice.
    return {} if built == {"type": "auto"} and choice == "auto" else built


def _ask_for_tool(bodies: list[dict[str, Any]], choice: str) -> None:
    """Ask in words for a call, of a model that cannot be forced."""
    wish = "Call one of your tools now." if choice == "required" else f"Call the tool {choice} now."
    block = {"type": "text", "text": wish}
    if bodies and bodies[-1]["role"] == "user":
        bodies[-1]["content"].append(block)
    else:
        bodies.append({"role": "user", "content": [block]})


def _mark_prefixes(blocks: Sequence[dict[str, Any]], cache: str) -> None:
    """Mark the last block of each prefix to cache: the tools, the system prompt, and two places of the conversation.

    The API allows four marks. It looks for an earlier mark within 20 blocks only, and a turn with a dozen calls has
    more, so one of the places is the end of the previous request.
    """
    mark = {"type": "ephemeral"} if cache == "5m" else {"type": "ephemeral", "ttl": cache}
    for block in blocks:
        block["cache_control"] = mark


def _render_messages(
    messages: Sequence[Message], names: Mapping[str, str], dialect: Dialect
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[int, dict[str, Any]]]:
    """Return the blocks of the system prompt, the messages in the format, and the last block of each that has one.

    Only messages of the user and results of tools have a last block here: answers have no marks.

    Results of tools are blocks of the user's next message. Messages of the user without an answer in between are
    joined, because all results of a turn must be in one message. Blank texts and empty messages are left out: the API
    refuses both.
    """
    system: list[dict[str, Any]] = []
    bodies: list[dict[str, Any]] = []
    ends: dict[int, dict[str, Any]] = {}
    for at, message in enumerate(messages):
        if message.role == "system":
            system += _build_system(message)
            continue
        if message.role == "assistant":
            content = _build_answer(message, names, dialect)
            if content:
                bodies.append({"role": "assistant", "content": content})
            continue
        blocks = [_build_result(message)] if message.role == "tool" else _build_parts(message.content)
        if not blocks:
            continue
        ends[at] = blocks[-1]
        if bodies and bodies[-1]["role"] == "user":
            bodies[-1]["content"] += blocks
        else:
            bodies.append({"role": "user", "content": blocks})
    return system, bodies, ends


def _build_system(message: Message) -> list[dict[str, Any]]:
    blocks = _build_parts(message.content)
    if any(block["type"] != "text" for block in blocks):
        raise UsageError(
            f"a message of the role system holds {described(message.media[0])}",
            hint="In this format, only messages of the user and results of tools can hold media.",
        )
    return blocks


def _build_answer(message: Message, names: Mapping[str, str], dialect: Dialect) -> Any:
    """Return an earlier answer: the model's own blocks if the model wrote them and they are unchanged."""
    data = native_for(message, dialect.service)
    if data is not None:
        sealed = _SEALED.decode(data)
        # Another model cannot read the thinking, and may refuse the signatures.
        if sealed.model == dialect.model:
            return sealed.content
    if message.media:
        raise UsageError(
            f"a message of the role assistant holds {described(message.media[0])}",
            hint="In this format, only messages of the user and results of tools can hold media.",
        )
    blocks: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text.strip() else []
    return blocks + [_build_call(call, names.get(call.name, call.name)) for call in message.tool_calls]


def _build_call(call: ToolCall, name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": _make_id(call.id), "name": name, "input": _read_arguments(call.arguments)}


def _read_arguments(arguments: str) -> Any:
    """Return the arguments as an object, which the API demands even of a call with broken arguments."""
    try:
        if isinstance(msgspec.json.decode(arguments), dict):
            return msgspec.Raw(arguments.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    value = read_json(arguments.encode("utf-8", "surrogatepass"))
    return mend_value(value) if isinstance(value, dict) else {}


def _build_result(message: Message) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": _make_id(message.tool_call_id or "")}
    blocks = _build_parts(message.content)
    if blocks:
        result["content"] = blocks
    return result


@functools.lru_cache(maxsize=1_000)
def _make_id(id_: str) -> str:
    """Return an id that the API allows: the same id, or for the ids of some other services a digest."""
    if _ID.fullmatch(id_):
        return id_
    return f"toolu_{hashlib.sha256(id_.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def _build_parts(content: str | tuple[Part, ...]) -> list[dict[str, Any]]:
    """Return the parts as blocks, without blank texts, which the API refuses."""
    parts = (content,) if isinstance(content, str) else content
    content = inlined(tuple(part for part in parts if not isinstance(part, str) or part.strip()))
    parts = (content,) if isinstance(content, str) else content
    return [_build_part(part) for part in parts if not isinstance(part, str) or part.strip()]


def _build_part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if part.kind == "image" and (part.media_type in _IMAGES):
        return {"type": "image", "source": _build_source(part)}
    if part.media_type == _PDF or (part.kind == "file" and part.data is None):
        block = {"type": "document", "source": _build_source(part)}
        return {**block, "title": part.name} if part.name else block
    raise UsageError(
        f"{described(part)} cannot be sent as {part.media_type}",
        hint="Send images as PNG, JPEG, GIF or WebP, documents as PDF, and other files as text.",
    )


def _build_source(media: Media) -> dict[str, Any]:
    if media.data is None:
        return {"type": "url", "url": media.url}
    return {
        "type": "base64",
        "media_type": media.media_type,
        "data": base64.b64encode(media.data).decode("ascii"),
    }
