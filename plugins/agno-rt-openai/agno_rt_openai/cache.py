"""The service's prompt cache: a name for the beginning of requests, and explicit marks in messages. Pure.

Reference: OpenAI's guide "Prompt caching", and `prompt_cache_options` and `prompt_cache_breakpoint` of its API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agno_rt.messages import Message, Role
from agno_rt.models import ModelRequest
from agno_rt.wire.cache_marks import cache_marks

__all__ = ["make_cache_key", "mark_prefixes"]

_MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}
_ROLES: Mapping[Any, Role] = {"system": "system", "user": "user", "tool": "tool"}
TextPart = Literal["text", "input_text"]


def make_cache_key(request: ModelRequest) -> str:
    """Return a name for the beginning that requests of an agent share: its instructions and its tools.

    The service sends requests of one name to the machine that has their beginning cached. The name tells nothing of
    the texts.
    """
    digest = hashlib.blake2b(digest_size=16)
    for message in request.messages:
        if message.role != "system":
            break
        digest.update(message.text.encode("utf-8", "surrogatepass"))
    for tool in request.tools:
        digest.update(b"\0" + tool.name.encode("utf-8", "surrogatepass"))
    return f"agno-rt-{digest.hexdigest()}"


def mark_prefixes(body: dict[str, Any], items: Sequence[Mapping[str, Any]], kind: TextPart) -> list[Mapping[str, Any]]:
    """Return the messages or items with marks, and let the body ask for these marks alone.

    The service finds a beginning again only where the request has a mark. Its own mark, behind the last message, is
    gone in the next request; `cache_marks` keeps a mark there. Texts become parts of the type `kind`, because only
    parts have marks: all texts, so that an unmarked message has the same form as a marked one.
    """
    body.setdefault("prompt_cache_options", {"mode": "explicit"})
    roles = [_find_role(item) for item in items]
    # An answer may be several items, and begins with the first.
    begins = [at for at, role in enumerate(roles) if role != "assistant" or not at or roles[at - 1] != "assistant"]
    places = {begins[mark] for mark in cache_marks([Message(roles[at], "") for at in begins])}
    return [_render_parts(item, kind, marked=at in places) for at, item in enumerate(items)]


def _find_role(item: Mapping[str, Any]) -> Role:
    if item.get("type") == "function_call_output":
        return "tool"
    return _ROLES.get(item.get("role"), "assistant")


def _render_parts(item: Mapping[str, Any], kind: TextPart, *, marked: bool) -> Mapping[str, Any]:
    field = "output" if "output" in item else "content"
    content = item.get(field)
    # The service refuses marks in answers, and parts without text.
    if not content or _find_role(item) == "assistant":
        return item
    parts = [{"type": kind, "text": content}] if isinstance(content, str) else list(content)
    if marked:
        parts[-1] = {**parts[-1], **_MARK}
    return {**item, field: parts}
