"""An agent's instructions: text, a function of the run, or a `Template`. Knows nothing of how a run runs.

A template reads attributes and entries, and does nothing else: it calls no function, and names that begin with an
underscore are closed. Text that a template inserts is not read as a template again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, final

import attrs
import msgspec

from agno_rt._schema.pydantic_types import plain_value
from agno_rt.context import RunContext
from agno_rt.errors import UsageError, suggest

__all__ = ["Instructions", "Template"]

Step: TypeAlias = str | int
Placeholder: TypeAlias = tuple[str, tuple[Step, ...]]

_NAMES: dict[str, Callable[[RunContext], Any]] = {
    "agent": lambda context: context.agent,
    "deps": lambda context: context.deps,
    "input": lambda context: "\n".join(message.text for message in context.input if message.role == "user"),
    "run_id": lambda context: context.run_id,
    "session": lambda context: context.session,
    "state": lambda context: context.state,
    "user": lambda context: context.user,
}
"""The first names that a placeholder may have."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PATH = re.compile(r"(\w+)((?:\.\w+|\[[^\[\]]*\])*)")
_STEP = re.compile(r"\.(\w+)|\[([^\[\]]*)\]")


@final
@attrs.frozen
class Template:
    """Instructions with placeholders, filled in for each run: `Template("You help {user}. Cart: {state.items}")`.

    A placeholder begins with `user`, `session`, `agent`, `run_id`, `input`, `state` or `deps`, and continues with
    attributes and entries: `{state.items[0].name}`, `{deps[1].zone}`, `{state[some key]}`. In a mapping, a name after a
    dot is a key. Write a brace twice: `{{`. `None` becomes an empty text, text and numbers stay the same, and anything
    else becomes JSON.

    Making a template raises `UsageError` for an invalid placeholder; filling it in does so for a missing attribute or
    entry.
    """

    text: str
    _parts: tuple[str | Placeholder, ...] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise UsageError(f"the text of a template is {type(self.text).__name__}", hint="Give text.")
        object.__setattr__(self, "_parts", tuple(_parse_parts(self.text)))

    def fill(self, context: RunContext) -> str:
        """Return the text for the run."""
        return "".join(part if isinstance(part, str) else _read_value(part, context) for part in self._parts)


Instructions: TypeAlias = str | Template | Callable[[RunContext], str | Awaitable[str]]


def _parse_parts(text: str) -> list[str | Placeholder]:
    parts: list[str | Placeholder] = []
    at = 0
    for token in _TOKEN.finditer(text):
        parts.append(text[at : token.start()])
        at = token.end()
        if token[0] in ("{{", "}}"):
            parts.append(token[0][0])
        elif len(token[0]) == 1:
            line = text.count("\n", 0, token.start()) + 1
            hint = f"Write {token[0] * 2} instead."
            raise UsageError(f"a template has a lone {token[0]!r} in line {line}", hint=hint)
        else:
            parts.append(_parse_placeholder(token[0], token[1]))
    return [*parts, text[at:]]


def _parse_placeholder(written: str, inner: str) -> Placeholder:
    path = _PATH.fullmatch(inner)
    if path is None:
        hint = "Write a name with attributes and entries, as in {state.items[0]}; write a plain brace twice."
        raise UsageError(f"a template has the invalid placeholder {written}", hint=hint)
    if path[1] not in _NAMES:
        raise UsageError(f"a template has the unknown placeholder {written}", hint=suggest("name", path[1], _NAMES))
    steps = [name or _parse_index(entry) for name, entry in _STEP.findall(path[2])]
    # Private attributes lead from any object to its class, its functions and their globals.
    if private := next((step for step in steps if isinstance(step, str) and step.startswith("_")), ""):
        hint = "Names that begin with an underscore are closed to templates."
        raise UsageError(f"a template has the placeholder {written}, which reads {private!r}", hint=hint)
    return path[1], tuple(steps)


def _parse_index(entry: str) -> Step:
    # At most nine digits, so that a template cannot ask Python for a huge number.
    return int(entry) if re.fullmatch(r"-?[0-9]{1,9}", entry) else entry


def _read_value(placeholder: Placeholder, context: RunContext) -> str:
    name, steps = placeholder
    value, so_far = _NAMES[name](context), name
    for step in steps:
        value = _read_step(value, step, so_far)
        so_far = f"{so_far}.{step}" if isinstance(step, str) else f"{so_far}[{step}]"
    if callable(value):
        raise UsageError(f"a template reads {{{so_far}}}, which is a function", hint="A template calls no functions.")
    return _format_value(value)


def _read_step(value: Any, step: Step, so_far: str) -> Any:
    """Read one attribute or entry. In a mapping or a sequence, find only entries, never a method."""
    if isinstance(value, Mapping):
        # `{state[2024]}` finds the key 2024 as well as "2024".
        for key in (step, str(step)):
            if key in value:
                return value[key]
        known = [str(key) for key in value]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if isinstance(step, int) and -len(value) <= step < len(value):
            return value[step]
        known = [f"[{at}]" for at in range(len(value))]
    else:
        found = getattr(value, step, _NOTHING) if isinstance(step, str) else _NOTHING
        if found is not _NOTHING:
            return found
        known = [name for name in _list_attributes(value) if not name.startswith("_")]
    message = f"a template reads {{{so_far}}}, which has no {step!r}"
    if value is None:
        raise UsageError(message, hint=f"{so_far} is None in this run.")
    raise UsageError(message, hint=suggest("name", str(step), known))


_NOTHING = object()


def _list_attributes(value: object) -> list[str]:
    return [name for name in dir(value) if not callable(getattr(type(value), name, None))]


def _format_value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return msgspec.json.encode(value, enc_hook=plain_value).decode()
    except (TypeError, ValueError):
        return str(value)
