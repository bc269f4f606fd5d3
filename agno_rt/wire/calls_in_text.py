"""Finds tool calls that a model wrote as text: small models and plain chat templates do, in several forms. Pure.

The whole answer must be calls of offered tools. These forms were seen: `{"name": ..., "arguments": {...}}`; this with
`parameters` for `arguments`, with the arguments as a text with JSON, or within `{"function": ...}` or
`{"tool_calls": [...]}`; a list of such objects, or several one after another; and any of these in a fence of three
backticks or in `<tool_call>` tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator
from typing import Any

from agno_rt.messages import ToolCall

__all__ = ["may_be_call", "read_calls"]

_FENCE = re.compile(r"\A```(?:json|tool_call|tool_code)?\s*\n(?P<inner>.*?)\n?\s*```\Z", re.DOTALL)
_TAGS = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
_BEGINNINGS = ("{", "[", "```", "<tool_call>")
_MOST_CALLS = 32
"""More calls in one answer are taken for text: a small model in a loop."""
_LONGEST = 200_000


def may_be_call(text: str) -> bool:
    """Return whether an answer that begins with the text may turn out to be calls. True for an empty text."""
    begun = text.lstrip()
    return any(begun.startswith(each) or each.startswith(begun) for each in _BEGINNINGS)


def read_calls(text: str, tools: Container[str], prefix: str = "call") -> list[ToolCall]:
    """Return the calls of offered tools that are the whole text; none if the text has anything else.

    The ids are `prefix` and a number.
    """
    whole = text.strip()
    if len(whole) > _LONGEST or not whole.startswith(_BEGINNINGS):
        return []
    try:
        found = [_read_call(value, tools) for part in _list_parts(whole) for value in _list_values(part)]
    except (ValueError, RecursionError):
        return []
    if not 0 < len(found) <= _MOST_CALLS:
        return []
    return [ToolCall(f"{prefix}_{at}", name, arguments) for at, (name, arguments) in enumerate(found)]


def _list_parts(text: str) -> list[str]:
    """Return the texts within tags or a fence. Raises `ValueError` for words beside the tags."""
    if text.startswith("<tool_call>"):
        if _TAGS.sub("", text).strip():
            raise ValueError("words beside the calls")
        return _TAGS.findall(text)
    fence = _FENCE.match(text)
    return [fence["inner"] if fence else text]


def _list_values(text: str) -> Iterator[Any]:
    """Yield the JSON values that follow one another in the text. Raises `ValueError` for anything else."""
    decoder, at = json.JSONDecoder(), 0
    text = text.strip()
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        while at < len(text) and text[at] in " \t\r\n,;":
            at += 1
        if isinstance(value, dict) and isinstance(value.get("tool_calls"), list) and len(value) == 1:
            value = value["tool_calls"]
        yield from value if isinstance(value, list) else (value,)


def _read_call(value: Any, tools: Container[str]) -> tuple[str, str]:
    """Return the name and the arguments of a call. Raises `ValueError` for any other value."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or value["name"] not in tools:
        raise ValueError("not a call of an offered tool")
    if not value.keys() <= {"name", "arguments", "parameters", "type", "id"}:
        raise ValueError("an object with more than a call has")
    arguments = value.get("arguments", value.get("parameters"))
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    if not isinstance(arguments, dict):
        raise ValueError("arguments that are not an object")
    return value["name"], json.dumps(arguments, ensure_ascii=False)
