"""Finds the one JSON value in a text that has words or a code fence around it; refuses to guess. Pure.

A text that is JSON is the value. Otherwise it is the one object or array that stands in it, or else the one JSON value
in a code fence; a bracket within such a value begins no other. Two values are refused, and so is one that is broken:
what stands within it may be a part of an answer that was cut off. Takes time in proportion to the text, whatever that
is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

__all__ = ["find_json"]

_BEGINNING = re.compile(r'\{[ \t\r\n]*["}]|\[[ \t\r\n]*(?:["\[{\]]|-?[0-9]|(?:true|false|null)\b)')
"""A bracket that begins JSON, by what follows it; any other is a part of the words."""


def find_json(text: str) -> str:
    """The one JSON value in the text, as it stands there. Raises `ValueError`, whose text says why there is none."""
    whole = text.strip()
    if _is_json(whole):
        return whole
    fenced, rest = _fenced(text)
    found = [block for block in fenced if block.lstrip()[0] in "{["]
    found += _values(rest)
    found = found or fenced
    if not found:
        raise ValueError("there is no JSON in it")
    if len(found) > 1:
        raise ValueError(f"it has {len(found)} JSON values where one is wanted")
    return found[0].strip()


def _values(text: str) -> Iterator[str]:
    """The objects and arrays in the text, but not those within one another."""
    end = 0
    while begins := _BEGINNING.search(text, end):
        start = begins.start()
        try:
            _, end = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as exc:
            raise ValueError(f"the JSON in it is broken or cut off: {exc.msg}, at character {exc.pos}") from None
        except (ValueError, RecursionError) as exc:
            raise ValueError(f"the JSON in it cannot be read: {exc}") from None
        yield text[start:end]


def _fenced(text: str) -> tuple[list[str], str]:
    """The code fences with JSON and nothing else in them; and the text, as long as it was, without what is in those.

    No line within JSON begins a fence: a string has no line ends in it.
    """
    fenced: list[str] = []
    rest: list[str] = []
    block: list[str] | None = None
    for line in text.split("\n"):
        if not line.lstrip().startswith("```"):
            (rest if block is None else block).append(line)
            continue
        if block is not None:
            inner = "\n".join(block)
            if _is_json(inner):
                fenced.append(inner)
                rest.append(" " * len(inner))
            else:
                rest += block
        block = [] if block is None else None
        rest.append(line)
    return fenced, "\n".join([*rest, *(block or ())])


def _is_json(text: str) -> bool:
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
