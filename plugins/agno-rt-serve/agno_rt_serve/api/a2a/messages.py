"""Messages of A2A as inputs of runs, and texts and questions as messages of A2A. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from agno_rt.media.types import BY_SUFFIX, canonical, is_text_type, suffix_of
from agno_rt.messages import MediaKind, Part
from agno_rt.run_store import ASK, Approval
from agno_rt_serve.api.a2a.refusals import CONTENT_TYPE_NOT_SUPPORTED, INVALID_PARAMS, Refusal
from agno_rt_serve.api.a2a.shapes import A2AMessage, A2APart
from agno_rt_serve.api.parts import Accepts, Attached, make
from agno_rt_serve.errors import HttpError

__all__ = ["INPUT_MODES", "ask_approvals", "last_of", "read_input", "read_question", "write_message"]

INPUT_MODES = (
    "text/plain",
    "application/json",
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/gif",
    "audio/mpeg",
    "audio/wav",
    "video/mp4",
    "application/pdf",
)
"""The media types that the cards name. The other types of the kernel are accepted, too."""

_ACCEPTED = frozenset({*BY_SUFFIX.values(), "application/octet-stream"})
_KINDS: dict[str, MediaKind] = {"image": "image", "audio": "audio", "video": "video"}


def read_input(message: A2AMessage, accepts: Accepts) -> str | list[Part]:
    """Return the input of a run. Raises `Refusal` for a part of an unknown type, `HttpError` 413 for a large part."""
    parts = [_read_part(part, f"message.parts[{at}]", accepts) for at, part in enumerate(message.parts)]
    only = parts[0]
    return only if len(parts) == 1 and isinstance(only, str) else parts


def _read_part(part: A2APart, where: str, accepts: Accepts) -> Part:
    given = [part.text is not None, part.raw is not None, part.url is not None, part.data is not msgspec.UNSET]
    if sum(given) != 1:
        problem = "has no content" if not any(given) else "has more than one content"
        hint = 'A part has one of "text", "raw" (bytes in base64), "url" and "data".'
        raise Refusal(INVALID_PARAMS, f"{where} {problem}", hint, where)
    if part.text is not None:
        return part.text
    if part.data is not msgspec.UNSET:
        return msgspec.json.encode(part.data).decode()
    type_ = canonical(part.media_type) if part.media_type else _guess_type(part)
    if type_ and type_ not in _ACCEPTED and not is_text_type(type_):
        hint = f"Types such as {', '.join(INPUT_MODES)} are."
        raise Refusal(CONTENT_TYPE_NOT_SUPPORTED, f"{where}: the type {type_!r} is not supported", hint, where)
    kind = _KINDS.get(type_.partition("/")[0], "file")
    # An unspecific type says nothing: the kernel looks at the bytes and the name.
    said = None if type_ in ("", "application/octet-stream") else type_
    try:
        return make(Attached(kind, part.raw, part.url, said, part.filename), accepts)
    except HttpError as exc:
        raise HttpError(exc.status, exc.code, f"{where}: {exc.message}", exc.hint) from exc


def _guess_type(part: A2APart) -> str:
    url = part.url or ""
    if url[:5].lower() == "data:":
        return canonical(url[5:].partition(",")[0].partition(";")[0])
    return BY_SUFFIX.get(suffix_of(part.filename or urlsplit(url).path), "")


def write_message(id: str, text: str, run: str, context: str, *, by_user: bool = False) -> A2AMessage:
    """Return a message of text, of the agent by default."""
    return A2AMessage(id, "ROLE_USER" if by_user else "ROLE_AGENT", [A2APart(text)], context, run)


def ask_approvals(approvals: Sequence[Approval], run: str, context: str) -> A2AMessage:
    """Return the message of a task that waits: the questions as text, and as data for programs."""
    texts = [read_question(each) for each in approvals]
    data = {"approvals": [_describe_approval(each) for each in approvals]}
    parts = [A2APart("\n".join(texts)), A2APart(data=data, media_type="application/json")]
    return A2AMessage(f"{approvals[-1].id}-asked", "ROLE_AGENT", parts, context, run)


def read_question(approval: Approval) -> str:
    """Return the approval as a question to a person."""
    call = approval.call
    if call.name == ASK:
        asked = _decode_json(call.arguments)
        return str(asked["question"]) if isinstance(asked, dict) and "question" in asked else call.arguments
    about = f" ({approval.reason})" if approval.reason else ""
    shown = f"{call.name}({call.arguments})"
    if approval.kind == "approval":
        return f"May I call {shown}{about}? Answer yes or no."
    if approval.kind == "input":
        return f"I need your input for {shown}{about}."
    return f"I need the result of {shown}{about}."


def _describe_approval(approval: Approval) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": approval.id,
        "kind": approval.kind,
        "tool": approval.call.name,
        "arguments": _decode_json(approval.call.arguments),
    }
    if approval.reason:
        made["reason"] = approval.reason
    if approval.schema is not None:
        made["schema"] = dict(approval.schema)
    if approval.expires_at is not None:
        made["expiresAt"] = approval.expires_at
    return made


def _decode_json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def last_of(messages: Iterable[A2AMessage], length: int | None) -> list[A2AMessage] | None:
    """Return the last messages, `None` for none."""
    kept = list(messages)
    kept = kept if length is None else kept[len(kept) - min(length, len(kept)) :]
    return kept or None
