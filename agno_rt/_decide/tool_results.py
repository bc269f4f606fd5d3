"""Makes of what a tool returns what the model is told: text, or text and media. Knows no runs and no tools."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Literal, TypeAlias

import msgspec

from agno_rt._schema.pydantic_types import plain_value
from agno_rt.failures import must_pass, named
from agno_rt.messages import Content, Media

__all__ = ["Told", "content_of", "contents_of", "failure", "in_words"]

Told: TypeAlias = tuple[Literal["completed", "failed"], Content]
"""How a call ended, and what the model is told of it."""


def content_of(value: Any) -> Content:
    """The content of the message that tells the model of a result.

    Text goes as it is, media as parts, alone or among texts in a list or tuple, and anything else as JSON. Raises what
    says why where that cannot be: `UsageError` for media, `TypeError` and its kind for JSON.
    """
    if isinstance(value, str):
        return _unicode(value)
    if type(value) in _JSON:
        return _ENCODE(value).decode()
    if isinstance(value, Media):
        value = (value,)
    if isinstance(value, list | tuple) and any(isinstance(part, Media) for part in value):
        from agno_rt.media import check_content  # for those who return media

        check_content(tuple(value))
        return tuple(_unicode(part) if isinstance(part, str) else part for part in value)
    return _ENCODE(value).decode()


_JSON = frozenset({int, float, bool, dict, type(None)})
"""Types whose values are neither media nor hold any beside text: told by one look, as most results are."""


def contents_of(values: Any, count: int, name: str) -> list[Told]:
    """What a batch tool returned, call by call. Raises `ValueError` unless that is one result for each of the calls."""
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise ValueError(f"it returned {type(values).__name__}, not a list with a result for each of {count} calls")
    if len(values) != count:
        results = "1 result" if len(values) == 1 else f"{len(values)} results"
        raise ValueError(f"it returned {results} for {count} {'call' if count == 1 else 'calls'}")
    return [_content_of(value, name) for value in values]


def _content_of(value: Any, name: str) -> Told:
    if isinstance(value, BaseException):
        return "failed", failure(name, value)
    try:
        return "completed", content_of(value)
    except BaseException as exc:
        if must_pass(exc):
            raise
        return "failed", failure(name, exc)


def failure(name: str, exc: BaseException) -> str:
    """What the model is told of a tool that failed: the exception's type, and its text if it has one."""
    return f"{name} failed: {named(exc)}"


def in_words(content: Content) -> str:
    """The content as text alone, its media described."""
    if isinstance(content, str):
        return content
    from agno_rt.media import described  # as above

    return "\n".join(part if isinstance(part, str) else described(part) for part in content)


def _unicode(text: str) -> str:
    """The text as it can be sent: a file's name, say, may have come with characters that are no Unicode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _plain(value: Any) -> Any:
    """What stands for a value that msgspec does not know."""
    if isinstance(value, list | tuple | dict):
        raise TypeError(f"it returned a dict with a key of type {type(value).__name__}, which JSON does not have")
    if isinstance(value, PurePath):
        return str(value)
    with suppress(TypeError):
        return plain_value(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet | Sequence | range):
        return list(value)
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError("it returned a coroutine; a tool that has to be awaited is an async function")
    raise TypeError(f"it returned something of type {type(value).__name__}, which is neither text nor JSON")


_ENCODE = msgspec.json.Encoder(enc_hook=_plain).encode
