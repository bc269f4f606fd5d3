"""Renders a conversation in the chat completions format: roles, parts, calls and results. Pure: no I/O.

Reference: the OpenAI API reference, "Create chat completion", `messages`. Servers of open models also accept
`video_url` (vLLM's multimodal inputs).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from agno_rt.errors import UsageError
from agno_rt.media import data_url, described, inlined
from agno_rt.messages import Media, Message, Part, ToolCall
from agno_rt.wire._kept_fields import add_kept_fields

__all__ = ["message_bodies"]

# The only two formats in the reference.
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def message_bodies(
    messages: Sequence[Message],
    names: Mapping[str, str],
    *,
    reasoning_field: str = "",
    system_first: bool = False,
    service: str = "",
) -> list[dict[str, Any]]:
    """Return the messages in the format. Raises `UsageError` for media that the format cannot carry.

    `names` maps tools to the names to send instead; `service` gets the fields back that it sent with its answers. An
    assistant's message without text and calls is left out: some servers refuse the whole conversation because of it.
    """
    bodies: list[dict[str, Any]] = []
    shown: list[Part] = []
    for message in _move_system_first(messages) if system_first else messages:
        # Media wait until the last result of the turn, see `_render_plain`.
        if shown and message.role != "tool":
            bodies.append(_build_media_message(shown))
            shown = []
        body = _build_message_body(message, shown, names, reasoning_field)
        if message.role != "assistant" or message.tool_calls or body["content"].strip() or reasoning_field in body:
            add_kept_fields(message, body, service)
            bodies.append(body)
    if shown:
        bodies.append(_build_media_message(shown))
    return bodies


def _move_system_first(messages: Sequence[Message]) -> Sequence[Message]:
    """Join all system messages into one at the start: many chat templates refuse system messages elsewhere."""
    said = [message for message in messages if message.role == "system"]
    if not said or said == [messages[0]]:
        return messages
    texts = filter(None, (_render_plain(message, []) for message in said))
    return [Message("system", "\n\n".join(texts)), *(each for each in messages if each.role != "system")]


def _build_message_body(
    message: Message, shown: list[Part], names: Mapping[str, str], reasoning_field: str
) -> dict[str, Any]:
    content = message.content
    if not isinstance(content, str):
        content = _render_plain(message, shown) if message.role != "user" else inlined(content)
    body: dict[str, Any] = {"role": message.role}
    body["content"] = content if isinstance(content, str) else [_build_part(part) for part in content]
    # A server that wants reasoning back refuses a call without the field, even if the model did not reason.
    if reasoning_field and message.role == "assistant" and (message.reasoning or message.tool_calls):
        body[reasoning_field] = message.reasoning
    if message.tool_calls:
        body["tool_calls"] = [_build_call_body(call, names.get(call.name, call.name)) for call in message.tool_calls]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    # The name of an assistant is a member of a team, and may have blanks, which services refuse.
    if message.name is not None and message.role not in ("tool", "assistant"):
        body["name"] = message.name
    return body


def _render_plain(message: Message, shown: list[Part]) -> str:
    """Return the text of a message of text alone. Media of a tool's result are added to `shown`.

    The results of a turn must follow the calls without a gap, so the media are sent after the last result.
    """
    content = inlined(message.content)
    if isinstance(content, str):
        return content
    if message.role != "tool":
        media = next(part for part in content if isinstance(part, Media))
        raise UsageError(
            f"a message of the role {message.role} holds {described(media)}",
            hint="In this format, only messages of the user can hold media.",
        )
    called = f"{message.name} returned" if message.name else "A tool returned"
    shown += [part for media in message.media for part in (f"{called} {described(media)}:", media)]
    return "\n".join(part if isinstance(part, str) else described(part) for part in content)


def _build_media_message(parts: list[Part]) -> dict[str, Any]:
    return {"role": "user", "content": [_build_part(part) for part in parts]}


def _build_part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    match part.kind:
        case "image":
            return {"type": "image_url", "image_url": {"url": data_url(part)}}
        case "video":
            return {"type": "video_url", "video_url": {"url": data_url(part)}}
        case "audio":
            return {"type": "input_audio", "input_audio": _build_audio(part)}
        case "file":
            return {"type": "file", "file": _build_file(part)}


def _build_audio(media: Media) -> dict[str, str]:
    format_ = _AUDIO_FORMATS.get(media.media_type)
    if media.data is None or format_ is None:
        problem = "by its URL" if media.data is None else f"as {media.media_type}"
        raise UsageError(f"{described(media)} cannot be sent {problem}", hint="Send the bytes, as WAV or MP3.")
    return {"data": base64.b64encode(media.data).decode("ascii"), "format": format_}


def _build_file(media: Media) -> dict[str, str]:
    if media.data is None:
        raise UsageError(f"{described(media)} cannot be sent by its URL", hint="Send the file's bytes.")
    return {"filename": media.name or "file", "file_data": data_url(media)}


def _build_call_body(call: ToolCall, name: str) -> dict[str, Any]:
    # Some servers parse the arguments of past calls as JSON, and fail on a blank text.
    arguments = call.arguments if call.arguments.strip() else "{}"
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}
