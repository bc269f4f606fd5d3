"""Seals a provider's own form of an answer to a message, and gives it back while the message says the same. Pure.

Some providers want parts of their answers back that a `Message` cannot hold: thinking with signatures (Anthropic),
reasoning items (OpenAI's responses), thought signatures (Gemini). A plugin seals these as `ModelResponse.native`, and
finds them in the messages of the next request. Hooks, guardrails and users may change a message in between. The
provider's form then says something else than the message, so it is not given back, and the plugin renders the message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from agno_rt.messages import Message, Native, ToolCall

__all__ = ["native_for", "seal_native"]

_DIGEST_BYTES = 16


def seal_native(provider: str, data: bytes, content: str, tool_calls: Sequence[ToolCall] = ()) -> Native:
    """Return the answer's own form, sealed to the answer's text and calls.

    `content` and `tool_calls` are those of the `ModelResponse`, where each call has an id of its own: a run replaces
    missing and repeated ids. `provider` names the format and the service, so that no other plugin reads `data`.
    """
    return Native(provider, data, _compute_digest(content, tool_calls))


def native_for(message: Message, provider: str) -> bytes | None:
    """Return the data that the provider's plugin sealed to the message.

    Returns `None` for a message without such data, with data of another provider, or changed since. The `name` and the
    `reasoning` of a message do not count as changes.
    """
    native = message.native
    if native is None or native.provider != provider or not isinstance(message.content, str):
        return None
    return native.data if native.digest == _compute_digest(message.content, message.tool_calls) else None


def _compute_digest(content: str, tool_calls: Sequence[ToolCall]) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    texts = [content]
    for call in tool_calls:
        texts += (call.id, call.name, call.arguments)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        # The length goes first, so that no two lists of texts give the same bytes.
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()
