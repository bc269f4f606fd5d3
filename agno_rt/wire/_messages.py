"""What a conversation becomes in the chat completions format: roles, parts, calls and results. Pure: no I/O.

Reference: the OpenAI API reference, "Create chat completion", `messages`; `video_url` is what servers of open models
take (vLLM's multimodal inputs).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from agno_rt.errors import UsageError
from agno_rt.media import data_url, described, inlined
from agno_rt.messages import Media, Message, Part, ToolCall

__all__ = ["message_bodies"]

_AUDIO_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def message_bodies(
    messages: Sequence[Message], names: Mapping[str, str], *, reasoning_field: str = "", system_first: bool = False
) -> list[dict[str, Any]]:
    """The messages in the format. Raises `UsageError` for media that it cannot carry.

    `names` has the names that go in the place of tools' own. An assistant's message of neither text nor calls is left
    out: some servers refuse the whole conversation for it.
    """
    bodies: list[dict[str, Any]] = []
    shown: list[Part] = []
    for message in _with_system_first(messages) if system_first else messages:
        if shown and message.role != "tool":
            bodies.append(_shown(shown))
            shown = []
        body = _body(message, shown, names, reasoning_field)
        if message.role != "assistant" or message.tool_calls or body["content"].strip() or reasoning_field in body:
            bodies.append(body)
    if shown:
        bodies.append(_shown(shown))
    return bodies


def _with_system_first(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the messages with those of the system as one, the first; many chat templates refuse any other."""
    said = [message for message in messages if message.role == "system"]
    if not said or said == [messages[0]]:
        return messages
    texts = filter(None, (_plain(message, []) for message in said))
    return [Message("system", "\n\n".join(texts)), *(each for each in messages if each.role != "system")]


def _body(message: Message, shown: list[Part], names: Mapping[str, str], reasoning_field: str) -> dict[str, Any]:
    content = message.content
    if not isinstance(content, str):
        content = _plain(message, shown) if message.role != "user" else inlined(content)
    body: dict[str, Any] = {"role": message.role}
    body["content"] = content if isinstance(content, str) else [_part(part) for part in content]
    if reasoning_field and message.reasoning and message.role == "assistant":
        body[reasoning_field] = message.reasoning
    if message.tool_calls:
        body["tool_calls"] = [_call_body(call, names.get(call.name, call.name)) for call in message.tool_calls]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.name is not None and message.role != "tool":
        body["name"] = message.name
    return body


def _plain(message: Message, shown: list[Part]) -> str:
    """The text of a message that may hold nothing else. A tool's media are added to what is `shown` after it.

    The results of one turn have to follow its calls with nothing in between, so that media come behind all of them.
    """
    content = inlined(message.content)
    if isinstance(content, str):
        return content
    if message.role != "tool":
        media = next(part for part in content if isinstance(part, Media))
        raise UsageError(
            f"a message of the role {message.role} holds {described(media)}",
            hint="In this format, media belong in messages of the user.",
        )
    called = f"{message.name} returned" if message.name else "A tool returned"
    shown += [part for media in message.media for part in (f"{called} {described(media)}:", media)]
    return "\n".join(part if isinstance(part, str) else described(part) for part in content)


def _shown(parts: list[Part]) -> dict[str, Any]:
    return {"role": "user", "content": [_part(part) for part in parts]}


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    match part.kind:
        case "image":
            return {"type": "image_url", "image_url": {"url": data_url(part)}}
        case "video":
            return {"type": "video_url", "video_url": {"url": data_url(part)}}
        case "audio":
            return {"type": "input_audio", "input_audio": _audio(part)}
        case "file":
            return {"type": "file", "file": _file(part)}


def _audio(media: Media) -> dict[str, str]:
    format_ = _AUDIO_FORMATS.get(media.media_type)
    if media.data is None or format_ is None:
        problem = "by its URL" if media.data is None else f"as {media.media_type}"
        raise UsageError(f"{described(media)} cannot be sent {problem}", hint="Send the bytes, as WAV or MP3.")
    return {"data": base64.b64encode(media.data).decode("ascii"), "format": format_}


def _file(media: Media) -> dict[str, str]:
    if media.data is None:
        raise UsageError(f"{described(media)} cannot be sent by its URL", hint="Send the file's bytes.")
    return {"filename": media.name or "file", "file_data": data_url(media)}


def _call_body(call: ToolCall, name: str) -> dict[str, Any]:
    # Some servers read the arguments of a history as JSON, which a blank text is not.
    arguments = call.arguments if call.arguments.strip() else "{}"
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}
