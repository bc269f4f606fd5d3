"""Writes a conversation as Markdown, for people to read and keep."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agno_rt.cli.run_agent.display import content_text
from agno_rt.messages import Message

__all__ = ["session_markdown"]

_WHO = {"user": "You", "assistant": "Assistant", "system": "System"}


def session_markdown(messages: Sequence[Message], title: str) -> str:
    """Return the conversation under its title: who said what, and which tools were called with what result."""
    return "\n\n".join([f"# {' '.join(title.split())}", *_sections(messages)]) + "\n"


def _sections(messages: Sequence[Message]) -> Iterator[str]:
    speaker = ""
    for message in messages:
        text = content_text(message).strip()
        if message.role == "tool":
            yield f"Result of `{message.name}`:\n\n{_fenced(text)}"
            continue
        if message.role != speaker:
            speaker = message.role
            yield f"## {_WHO[message.role]}"
        if text:
            yield text
        for call in message.tool_calls:
            yield f"Call of `{call.name}`:\n\n{_fenced(call.arguments, 'json')}"


def _fenced(text: str, language: str = "") -> str:
    """The text as a code block, whose fence is longer than any within."""
    longest = max((len(found) for found in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
