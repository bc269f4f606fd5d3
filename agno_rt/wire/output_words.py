"""An output type in words, for requests in which a service cannot hold the model to a JSON Schema. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agno_rt.messages import Message
from agno_rt.wire.lenient_json import write_json

__all__ = ["ask_for_output"]

_ANSWER = "Answer with one JSON value that fits this JSON Schema, without any other words and without a code fence:\n"


def ask_for_output(messages: Sequence[Message], schema: Mapping[str, Any], model: str) -> list[Message]:
    """Return the messages with the schema in a system message, after the system messages at the start.

    There it stays the same from request to request, so that a cache still knows the beginning. Raises `UsageError` for
    a schema outside JSON.
    """
    at = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
    asked = Message("system", _ANSWER + write_json(schema, model).decode())
    return [*messages[:at], asked, *messages[at:]]
