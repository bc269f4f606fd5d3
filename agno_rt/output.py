"""The type of an agent's answer, and the search for JSON in a text. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, get_args

import attrs

from agno_rt._schema.generics import OutputT, TypeForm
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import UsageError
from agno_rt.models import OutputMode

__all__ = ["Output", "find_json", "plain_value"]


@attrs.frozen
class Output(Generic[OutputT]):
    """The type that an answer must fit, with options that a bare type leaves to the model's profile and to agno_rt.

    `Agent(output=Invoice)` is short for `Agent(output=Output(Invoice))`. Raises `UsageError` for an unknown mode and
    for fewer than one attempt.

    Attributes:
        type: an attrs or data class, a pydantic model, a TypedDict, a NamedTuple, a msgspec Struct, an enum, a Literal,
            a union of these, a list or dict of them, or a plain type such as `int` or `datetime`; `str` is free text
        mode: how to tell the model of the type: `schema`, `tool` or `prompt`; `None` for the best mode of the model
        attempts: the number of answers the model may give; each unfit answer goes back with the reason
        check: a function, async or not, that inspects an answer of the right type, and refuses it by returning text or
            by raising `ValueError`: the reason goes back to the model, too. `None` and `True` accept, `False` refuses.
            A second parameter receives the `RunContext`. A sync function runs in place: keep it quick
    """

    type: TypeForm[OutputT]
    mode: OutputMode | None = None
    attempts: int = 3
    check: Callable[..., Any] | None = None

    def __attrs_post_init__(self) -> None:
        modes = get_args(OutputMode)
        if self.mode is not None and self.mode not in modes:
            raise UsageError(f"there is no output mode {self.mode!r}", hint=f"Modes: {', '.join(modes)}.")
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise UsageError(f"an output cannot have {self.attempts!r} attempts", hint="Give it 1 or more.")
        if self.check is not None and not callable(self.check):
            raise UsageError(f"an output's check is {self.check!r}", hint="Give a function of the value.")


_BEGINNING = re.compile(r'\{[ \t\r\n]*["}]|\[[ \t\r\n]*(?:["\[{\]]|-?[0-9]|(?:true|false|null)\b)')
"""A bracket that begins JSON, by the text after it; any other bracket belongs to the words."""


def find_json(text: str) -> str:
    """Return the one JSON value in a text with words or a code fence around it, in its original form.

    A text that is JSON as a whole is the value. Otherwise the value is the only object or array in the text, or else
    the only JSON value in a code fence; nested values do not count. Raises `ValueError`, with the reason, for two
    values, for none, and for a broken value, since its inner values might be parts of an answer that was cut off. Takes
    linear time.
    """
    whole = text.strip()
    if _is_json(whole):
        return whole
    # `rest` has blanks in place of the fences' contents, so that no value is found twice.
    fenced, rest = _find_fenced(text)
    found = [block for block in fenced if block.lstrip()[0] in "{["]
    found += _find_values(rest)
    found = found or fenced
    if not found:
        raise ValueError("there is no JSON in it")
    if len(found) > 1:
        raise ValueError(f"it has {len(found)} JSON values where one is wanted")
    return found[0].strip()


def _find_values(text: str) -> Iterator[str]:
    """Yield the outermost objects and arrays in the text."""
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


def _find_fenced(text: str) -> tuple[list[str], str]:
    """Return the code fences that contain JSON only, and the text with their contents blanked, at the same length.

    No line within JSON begins a fence, since a JSON string has no line breaks.
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


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# Python's decoder accepts NaN and Infinity, which JSON does not have.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
