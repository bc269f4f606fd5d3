"""Renders a conversation in the responses format: messages, calls and results as items. Pure: no I/O.

Reference: the OpenAI API reference, "Create a model response", `input`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from agno_rt.errors import UsageError
from agno_rt.media import data_url, described, inlined
from agno_rt.messages import Media, Message, Part

__all__ = ["Keeper", "render_items", "split_instructions"]

Keeper: TypeAlias = Callable[[Message], Sequence[Mapping[str, Any]] | None]
"""Returns the items of an earlier answer as the server sent them, or `None` to render the message instead."""

_AUDIO_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def split_instructions(messages: Sequence[Message], *, everywhere: bool) -> tuple[str, Sequence[Message]]:
    """Return the text of the system messages at the start, and the other messages.

    With `everywhere`, the text has all system messages. Raises `UsageError` for media in a system message.
    """
    start = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
    said, rest = messages[:start], messages[start:]
    if everywhere:
        said = [*said, *(message for message in rest if message.role == "system")]
        rest = [message for message in rest if message.role != "system"]
    return "\n\n".join(filter(None, map(_render_plain, said))), rest


def render_items(messages: Iterable[Message], names: Mapping[str, str], keep: Keeper) -> list[Mapping[str, Any]]:
    """Return the messages as items. Raises `UsageError` for media that the format cannot carry.

    `names` maps tools to the names to send instead. An answer without text and calls is left out.
    """
    items: list[Mapping[str, Any]] = []
    for message in messages:
        match message.role:
            case "assistant":
                kept = keep(message)
                items += _render_answer(message, names) if kept is None else kept
            case "tool":
                items.append(_build_result(message))
            case "system":
                items.append({"role": "system", "content": _render_plain(message)})
            case "user":
                content = inlined(message.content)
                parts = content if isinstance(content, str) else [_build_part(part) for part in content]
                items.append({"role": "user", "content": parts})
    return items


def _render_answer(message: Message, names: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return an answer without the server's ids: its text, then its calls. Reasoning without its id is not accepted."""
    items: list[Mapping[str, Any]] = []
    text = _render_plain(message)
    if text.strip():
        items.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
    for call in message.tool_calls:
        # Some servers parse the arguments of past calls as JSON, and fail on a blank text.
        arguments = call.arguments if call.arguments.strip() else "{}"
        name = names.get(call.name, call.name)
        items.append({"type": "function_call", "call_id": call.id, "name": name, "arguments": arguments})
    return items


def _build_result(message: Message) -> Mapping[str, Any]:
    content = inlined(message.content)
    # Several servers read results of text only as a text.
    output = content if isinstance(content, str) else [_build_part(part) for part in content]
    return {"type": "function_call_output", "call_id": message.tool_call_id, "output": output}


def _render_plain(message: Message) -> str:
    content = inlined(message.content)
    if isinstance(content, str):
        return content
    media = next(part for part in content if isinstance(part, Media))
    raise UsageError(
        f"a message of the role {message.role} holds {described(media)}",
        hint="In this format, only messages of the user and results of tools can hold media.",
    )


def _build_part(part: Part) -> Mapping[str, Any]:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    match part.kind:
        case "image":
            return {"type": "input_image", "image_url": data_url(part), "detail": "auto"}
        case "file" if part.data is None:
            return {"type": "input_file", "file_url": part.url}
        case "file":
            return {"type": "input_file", "filename": part.name or "file", "file_data": data_url(part)}
        case "audio" if part.data is not None and part.media_type in _AUDIO_FORMATS:
            data = base64.b64encode(part.data).decode("ascii")
            return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO_FORMATS[part.media_type]}}
    raise UsageError(
        f"{described(part)} cannot be sent as {part.media_type}{'' if part.data is not None else ' by its URL'}",
        hint="This format has images, files, and the bytes of WAV and MP3.",
    )
