"""Turns the return value of a tool into content for the model: text, or text and media. Knows no runs and no tools."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Literal, TypeAlias

import msgspec

from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import UsageError
from agno_rt.failures import must_pass, named
from agno_rt.messages import Content, Media
from agno_rt.result import RunResult

__all__ = ["Told", "ToolPaused", "content_of", "contents_of", "failure", "in_words"]

Told: TypeAlias = tuple[Literal["completed", "failed"], Content]
"""The status of a call, and the content of its result for the model."""


class ToolPaused(Exception):
    """Raised for a call that returned the result of a paused run within: the call waits, and is made again.

    The run waits for `approvals`, until `wakes_at`, or for `signals`: the number of signals seen by each waiting run.
    `calls` has the ids of calls within the call that wait, too.
    """

    def __init__(
        self, approvals: Sequence[Any], wakes_at: float | None = None, signals: Mapping[str, int] | None = None
    ) -> None:
        super().__init__("the call waits for a run within")
        self.approvals = tuple(approvals)
        self.wakes_at = wakes_at
        self.signals = signals or {}
        self.calls: tuple[str, ...] = ()


class ToolStopped(ToolPaused):
    """Raised for a call in which a run within stopped together with the run around: the call is made again."""

    def __init__(self) -> None:
        super().__init__(())


def content_of(value: Any) -> Content:
    """Return the content of a result, for the message to the model.

    Text stays text. Media become parts, alone or among texts in a list or tuple. The result of a run becomes its
    answer. Anything else becomes JSON. Raises `UsageError` for invalid media and for a run without an answer, and
    `TypeError` or msgspec's errors for a value outside of JSON.
    """
    if isinstance(value, str):
        return _replace_surrogates(value)
    if type(value) in _JSON:
        return _ENCODE(value).decode()
    if isinstance(value, Media):
        value = (value,)
    elif isinstance(value, RunResult):
        return _content_of_run(value)
    if isinstance(value, list | tuple) and any(isinstance(part, Media) for part in value):
        from agno_rt.media import check_content  # imported late: only results with media need it

        check_content(tuple(value))
        return tuple(_replace_surrogates(part) if isinstance(part, str) else part for part in value)
    return _ENCODE(value).decode()


def _content_of_run(result: RunResult) -> str:
    if result.status == "completed":
        return _replace_surrogates(result.content)
    waiting = ", ".join(approval.id for approval in result.approvals)
    hint = "Run it by RunContext.run, in an agent whose memory policy has a journal: then the run waits, too."
    raise UsageError(f"run {result.run_id} is {result.status}{f' for {waiting}' if waiting else ''}", hint=hint)


_JSON = frozenset({int, float, bool, dict, type(None)})
"""Types whose values become JSON without a look for media: the fast path for most results."""


def contents_of(values: Any, count: int, name: str) -> list[Told]:
    """Return the results of a batch tool, call by call. Raises `ValueError` unless each call has a result."""
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise ValueError(f"it returned {type(values).__name__}, not a list with a result for each of {count} calls")
    if len(values) != count:
        results = "1 result" if len(values) == 1 else f"{len(values)} results"
        raise ValueError(f"it returned {results} for {count} {'call' if count == 1 else 'calls'}")
    return [_convert_result(value, name) for value in values]


def _convert_result(value: Any, name: str) -> Told:
    if isinstance(value, BaseException):
        return "failed", failure(name, value)
    try:
        return "completed", content_of(value)
    except BaseException as exc:
        if must_pass(exc):
            raise
        return "failed", failure(name, exc)


def failure(name: str, exc: BaseException) -> str:
    """Return the text on a failed tool for the model: the exception's type and text."""
    return f"{name} failed: {named(exc)}"


def in_words(content: Content) -> str:
    """Return the content as text, with each medium replaced by a description."""
    if isinstance(content, str):
        return content
    from agno_rt.media import described  # imported late, as above

    return "\n".join(part if isinstance(part, str) else described(part) for part in content)


def _replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which cannot be sent; the names of undecodable files contain them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _to_json_value(value: Any) -> Any:
    """Convert a value that msgspec cannot encode."""
    # msgspec encodes lists and dicts itself, and hands on one of these types only as a key of a dict.
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
        raise TypeError("it returned a coroutine; define the tool with `async def`")
    raise TypeError(f"it returned something of type {type(value).__name__}, which is neither text nor JSON")


_ENCODE = msgspec.json.Encoder(enc_hook=_to_json_value).encode
