"""Gemini's format as pure functions: requests to bytes. `answers` reads answers. Opens nothing, reads no clock.

Reference: the Gemini API reference, "Generating content" and "Caching", and its guides "Function calling", "Thinking",
"Thought signatures" and "Structured outputs"; for Vertex AI its reference of `generateContent`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.errors import UsageError
from agno_rt.media import described, inlined
from agno_rt.messages import Media, Message, Part, ToolCall
from agno_rt.models import ModelRequest
from agno_rt.tools import Tool
from agno_rt.wire.blocks import LEFT_OUT
from agno_rt.wire.chat_completions import mend_value, tool_names
from agno_rt.wire.lenient_json import read_json, write_json
from agno_rt.wire.native import native_for
from agno_rt_google.facts import Facts
from agno_rt_google.schemas import fit_schema

__all__ = ["SERVICE", "UNSIGNED", "Dialect", "Sealed", "request_bytes"]

SERVICE = "google generateContent"
"""The name under which answers of the Gemini API are sealed."""

UNSIGNED = "skip_thought_signature_validator"
"""The documented signature for calls that the model did not make itself, or whose signature is lost."""

_MEDIA_KINDS = ("image", "audio", "video")
_PDF = "application/pdf"
_MERGED = ("generationConfig", "toolConfig")
"""Objects of the body that keep their other keys when `extra` sets some."""

_CACHED = ("tools", "toolConfig", "systemInstruction")


@attrs.frozen(kw_only=True)
class Dialect:
    """The variant of the format for one model of one service.

    model            the model's name
    service          the name under which answers are sealed, see `agno_rt.wire.native`
    facts            the model's facts and the choices for its requests
    safety_settings  thresholds for harmful content, as in the reference
    server_tools     tools that the service runs, as in the reference
    """

    model: str
    service: str = SERVICE
    facts: Facts = attrs.field(factory=Facts)
    safety_settings: tuple[Mapping[str, Any], ...] = ()
    server_tools: tuple[Mapping[str, Any], ...] = ()


class Sealed(msgspec.Struct):
    """An answer's own parts with the model that wrote them, as sealed to a message. `ids` are the service's own ids."""

    model: str
    ids: list[str]
    parts: msgspec.Raw


_SEALED = msgspec.json.Decoder(Sealed)


def request_bytes(request: ModelRequest, dialect: Dialect) -> bytes:
    """Write the body of a request for content, whole or streamed: the address makes the difference.

    The conversation stands last, so that the bytes of a longer conversation begin with those of a shorter one. Raises
    `UsageError` for media and settings outside the format, and for values in `settings.extra` outside JSON.
    """
    names = {own: wire for wire, own in tool_names(request).items()}
    system, contents = _render_messages(request.messages, names, dialect)
    parts: dict[str, Any] = {
        "generationConfig": _build_settings(request, dialect, system),
        "safetySettings": [dict(each) for each in dialect.safety_settings],
        "tools": _build_tools(request.tools, names, dialect),
        "toolConfig": _build_tool_config(request, names),
        "systemInstruction": {"parts": system} if system else {},
    }
    if "cachedContent" in request.settings.extra:
        # A cache has the instruction and the tools, and the service refuses them beside it.
        parts = {name: value for name, value in parts.items() if name not in _CACHED}
    body = {name: value for name, value in parts.items() if value}
    body = _merge_extra({**body, "contents": contents}, request.settings.extra)
    # Contents in `extra` replace the request's own, in the same place.
    body["contents"] = body.pop("contents")
    return write_json(body, dialect.model)


def _merge_extra(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**body, **extra}
    for name in _MERGED:
        if isinstance(extra.get(name), Mapping) and name in body:
            merged[name] = {**body[name], **extra[name]}
    return merged


def _build_settings(request: ModelRequest, dialect: Dialect, system: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the configuration of the answer. A schema that the model cannot take beside tools goes into `system`."""
    settings, facts = request.settings, dialect.facts
    most = facts.max_tokens if settings.max_tokens is None else settings.max_tokens
    built: dict[str, Any] = {
        "temperature": settings.temperature,
        "maxOutputTokens": most,
        "seed": settings.seed,
        "stopSequences": list(settings.stop) or None,
        "thinkingConfig": _build_thinking(dialect) or None,
    }
    if request.output is not None:
        if request.tools and facts.schema_with_tools is False:
            system.append({"text": _ANSWER + msgspec.json.encode(request.output).decode()})
        else:
            built["responseMimeType"] = "application/json"
            built["responseJsonSchema"] = fit_schema(request.output)
    return {name: value for name, value in built.items() if value is not None}


_ANSWER = "Answer with one JSON value that fits this JSON Schema, without any other words and without a code fence:\n"


def _build_thinking(dialect: Dialect) -> dict[str, Any]:
    """Return the configuration of thinking. Raises `UsageError` for a choice that the model is known to refuse."""
    facts = dialect.facts
    asked = facts.thinking
    thinking: dict[str, Any] = {}
    if asked is not None and asked != "auto":
        wanted = asked if isinstance(asked, str) else "budget"
        if facts.thinks is not None and wanted not in facts.thinks:
            choices = ", ".join(["auto", *facts.thinks])
            hint = f"Its choices are {choices}." if facts.thinks else "Leave thinking out: the model does not think."
            raise UsageError(f"{dialect.model} does not accept thinking = {asked!r}", hint=hint)
        if wanted in ("budget", "off"):
            thinking["thinkingBudget"] = 0 if asked == "off" else asked
        else:
            thinking["thinkingLevel"] = wanted.upper()
    # Models that do not think refuse the question for thoughts; a model told not to think has none.
    if facts.show_thinking and (facts.thinks or thinking) and asked != "off":
        thinking["includeThoughts"] = True
    return thinking


def _build_tools(tools: Sequence[Tool], names: Mapping[str, str], dialect: Dialect) -> list[dict[str, Any]]:
    declared = [_build_tool(tool, names.get(tool.name, tool.name)) for tool in tools]
    own = [{"functionDeclarations": declared}] if declared else []
    return own + [dict(each) for each in dialect.server_tools]


def _build_tool(tool: Tool, name: str) -> dict[str, Any]:
    body: dict[str, Any] = {"name": name}
    if tool.description.strip():
        body["description"] = tool.description
    # An object without any property is refused: a function without parameters has no schema.
    if tool.parameters.get("properties") or tool.parameters.get("type") != "object":
        body["parametersJsonSchema"] = fit_schema(tool.parameters)
    return body


def _build_tool_config(request: ModelRequest, names: Mapping[str, str]) -> dict[str, Any]:
    choice = request.tool_choice
    if not request.tools or choice == "auto":
        return {}
    if choice in ("none", "required"):
        calling: dict[str, Any] = {"mode": "NONE" if choice == "none" else "ANY"}
    else:
        calling = {"mode": "ANY", "allowedFunctionNames": [names.get(choice, choice)]}
    return {"functionCallingConfig": calling}


def _render_messages(
    messages: Sequence[Message], names: Mapping[str, str], dialect: Dialect
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the parts of the system instruction, and the contents.

    Results of tools are parts of the user's next content, because the service wants all results of a turn in one
    content. Contents of the user without an answer in between are joined. Blank texts and empty messages are left out.
    """
    system: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    ids: set[str] = set()
    media: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            system += _build_system(message)
        elif message.role == "assistant":
            parts, own_ids = _build_answer(message, names, dialect)
            ids.update(own_ids)
            if parts:
                _add_user_parts(contents, media)
                contents.append({"role": "model", "parts": parts})
        elif message.role == "tool":
            result, beside = _build_result(message, names, ids, dialect)
            _add_user_parts(contents, [result])
            media += beside
        else:
            # Media of results come after all results, which have to follow their calls at once.
            _add_user_parts(contents, media)
            _add_user_parts(contents, _build_parts(message.content))
    _add_user_parts(contents, media)
    if contents and contents[0]["role"] == "model":
        contents.insert(0, {"role": "user", "parts": [{"text": LEFT_OUT}]})
    return system, contents


def _add_user_parts(contents: list[dict[str, Any]], parts: list[dict[str, Any]]) -> None:
    """Move the parts to the user's last content, or to a new one."""
    if not parts:
        return
    if contents and contents[-1]["role"] == "user":
        contents[-1]["parts"] += parts
    else:
        contents.append({"role": "user", "parts": list(parts)})
    parts.clear()


def _build_system(message: Message) -> list[dict[str, Any]]:
    parts = _build_parts(message.content)
    if any("text" not in part for part in parts):
        raise _refuse_media(message)
    return parts


def _refuse_media(message: Message) -> UsageError:
    return UsageError(
        f"a message of the role {message.role} holds {described(message.media[0])}",
        hint="In this format, only messages of the user and results of tools can hold media.",
    )


def _build_answer(message: Message, names: Mapping[str, str], dialect: Dialect) -> tuple[Any, Sequence[str]]:
    """Return an earlier answer, and its ids: the model's own parts if the model wrote them and they are unchanged."""
    data = native_for(message, dialect.service)
    if data is not None:
        sealed = _SEALED.decode(data)
        # Another model may refuse the signatures.
        if sealed.model == dialect.model:
            return sealed.parts, sealed.ids
    if message.media:
        raise _refuse_media(message)
    parts: list[dict[str, Any]] = [{"text": message.text}] if message.text.strip() else []
    calls = [_build_call(call, names.get(call.name, call.name)) for call in message.tool_calls]
    if calls and dialect.facts.signed_calls:
        # Only the first of parallel calls has a signature.
        calls[0]["thoughtSignature"] = UNSIGNED
    return parts + calls, ()


def _build_call(call: ToolCall, name: str) -> dict[str, Any]:
    # Without the id, which may be another service's: calls and results match by their order.
    return {"functionCall": {"name": name, "args": _read_arguments(call.arguments)}}


def _read_arguments(arguments: str) -> Any:
    """Return the arguments as an object, which the API demands even of a call with broken arguments."""
    try:
        if isinstance(msgspec.json.decode(arguments), dict):
            return msgspec.Raw(arguments.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    value = read_json(arguments.encode("utf-8", "surrogatepass"))
    return mend_value(value) if isinstance(value, dict) else {}


def _build_result(
    message: Message, names: Mapping[str, str], ids: set[str], dialect: Dialect
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the part with a tool's result, and the media to send beside the result."""
    parts = _build_parts(message.content)
    text = "\n".join(part["text"] for part in parts if "text" in part)
    media = [part for part in parts if "text" not in part]
    name = message.name or ""
    result: dict[str, Any] = {"name": names.get(name, name), "response": {"output": text}}
    if message.tool_call_id in ids:
        result = {"id": message.tool_call_id, **result}
    if media and dialect.facts.result_media and all(map(_fits_result, media)):
        return {"functionResponse": {**result, "parts": media}}, []
    return {"functionResponse": result}, media


def _fits_result(part: Mapping[str, Any]) -> bool:
    type_ = part.get("inlineData", {}).get("mimeType", "")
    return bool(type_.startswith("image/") or type_ == _PDF)


def _build_parts(content: str | tuple[Part, ...]) -> list[dict[str, Any]]:
    """Return the parts in the format, without blank texts."""
    parts = (content,) if isinstance(content, str) else content
    content = inlined(tuple(part for part in parts if not isinstance(part, str) or part.strip()))
    parts = (content,) if isinstance(content, str) else content
    return [_build_part(part) for part in parts if not isinstance(part, str) or part.strip()]


def _build_part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"text": part}
    if part.data is None:
        return {"fileData": _build_reference(part)}
    if part.kind in _MEDIA_KINDS or part.media_type == _PDF:
        data = base64.b64encode(part.data).decode("ascii")
        return {"inlineData": {"mimeType": part.media_type, "data": data}}
    raise UsageError(
        f"{described(part)} cannot be sent as {part.media_type}",
        hint="Send images, audio, video and PDF, and other files as text.",
    )


def _build_reference(media: Media) -> dict[str, Any]:
    # A type such as `image/*` is unknown, and the service finds the type itself.
    known = {} if media.media_type.endswith("/*") else {"mimeType": media.media_type}
    return {**known, "fileUri": media.url}
