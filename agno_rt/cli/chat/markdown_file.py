"""A conversation as a Markdown file, for people to read and keep."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agno_rt.cli.run_agent.display import content_text
from agno_rt.messages import Message

__all__ = ["session_markdown"]

_SPEAKERS = {"user": "You", "assistant": "Assistant", "system": "System"}


def session_markdown(messages: Sequence[Message], title: str) -> str:
    """Return the conversation under its title, with speakers, tool calls and results."""
    return "\n\n".join([f"# {' '.join(title.split())}", *_render_sections(messages)]) + "\n"


def _render_sections(messages: Sequence[Message]) -> Iterator[str]:
    speaker = ""
    for message in messages:
        text = content_text(message).strip()
        if message.role == "tool":
            yield f"Result of `{message.name}`:\n\n{_render_code_block(text)}"
            continue
        if message.role != speaker:
            speaker = message.role
            yield f"## {_SPEAKERS[message.role]}"
        if text:
            yield text
        for call in message.tool_calls:
            yield f"Call of `{call.name}`:\n\n{_render_code_block(call.arguments, 'json')}"


def _render_code_block(text: str, language: str = "") -> str:
    """Return the text as a code block, with a fence longer than each fence in the text."""
    longest = max((len(found) for found in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
