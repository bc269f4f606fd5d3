"""Turns the input of a run into messages: text, parts, messages, or a stored run. Knows no runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeGuard

from agno_rt.errors import UsageError
from agno_rt.messages import Content, Media, Message, Part
from agno_rt.run_store import Resume

__all__ = ["Input", "are_messages", "as_messages"]

Input: TypeAlias = str | Sequence[Message | Part] | Resume


def as_messages(input: Input) -> tuple[Message, ...]:
    """Return the input as messages. Raises `UsageError` if it is empty, has the wrong type, or is not valid Unicode."""
    if type(input) is str and input.isascii() and input and not input.isspace():
        return (Message("user", input),)  # the fast path: almost every input is plain ASCII text
    if not isinstance(input, str):
        return _messages_of(() if isinstance(input, Resume) else input)
    if not input or input.isspace():
        raise UsageError("the input is empty", hint="Say something for the agent to answer.")
    if not input.isascii():
        _check_unicode(input)
    return (Message("user", input),)


def are_messages(value: object) -> TypeGuard[Sequence[Message]]:
    """Return whether the value is a sequence of messages, and not empty."""
    # A loop, since every member of a team passes here, and a generator would be a call more for each message.
    if type(value) is not tuple and not isinstance(value, Sequence):
        return False
    for each in value:
        if type(each) is not Message and not isinstance(each, Message):
            return False
    return bool(value)


def _messages_of(input: Sequence[Message | Part]) -> tuple[Message, ...]:
    if are_messages(input):
        for message in input:
            _check_parts(message.content)
        return tuple(input)
    given: tuple[Any, ...] = tuple(input) if isinstance(input, Sequence) else ()
    if given and all(isinstance(part, str | Media) for part in given):
        if not any(isinstance(part, Media) or part.strip() for part in given):
            raise UsageError("the input is empty", hint="Say something for the agent to answer.")
        given = (Message("user", given),)
    if not given or not all(isinstance(message, Message) for message in given):
        hint = "Pass a str, or a non-empty list of Message, or of str and Media: ['What is this?', image('cat.png')]."
        raise UsageError("the input is neither text nor parts nor messages", hint=hint)
    for message in given:
        _check_parts(message.content)
    return given


def _check_parts(content: Content) -> None:
    if isinstance(content, str):
        if not content.isascii():
            _check_unicode(content)
        return
    from agno_rt.media import check_content  # imported late: runs of text alone never need it

    check_content(content)
    for part in content:
        _check_unicode(part if isinstance(part, str) else part.name or "")


def _check_unicode(text: str) -> None:
    # A str may hold lone surrogates, which no provider's JSON can carry.
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        hint = "It was probably decoded from bytes that are not UTF-8."
        raise UsageError(f"the input has a character that is not valid Unicode: {exc}", hint=hint) from exc
