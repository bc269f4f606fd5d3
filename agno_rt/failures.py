"""Judges what code that is not ours raised: whether it must go on, and what it says. Knows no trio.

Tools, models, hooks, observers and backends may raise anything: an exit, asyncio's cancellation, an exception without a
text. Each place that calls such code catches `BaseException`, raises again what `must_pass`, and makes of the rest a
result or one of our errors, with a text by `named`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

__all__ = [
    "MOST_TEXT",
    "add_note",
    "find_passing",
    "leaves",
    "let_pass",
    "must_pass",
    "named",
    "repr_of",
    "set_attribute",
    "text_of",
]

MOST_TEXT = 10_000
"""How many characters of an exception's text are told."""

_MOST_REPR = 200

_MOST_LEAVES = 5
"""How many exceptions of a group are told."""


def _always() -> bool:
    return True


_PASSING: dict[type[BaseException], Callable[[], bool]] = {KeyboardInterrupt: _always}
"""The types that must go on, each with a function that says whether they must now."""


def let_pass(*types: type[BaseException], when: Callable[[], bool] = _always) -> None:
    """Let exceptions of these types go through every run to whoever runs it, as long as `when()` says so.

    They are no failure of what raised them. A KeyboardInterrupt passes always, trio's `Cancelled` while trio cancels,
    and in a test pytest's own outcomes.
    """
    _PASSING.update(dict.fromkeys(types, when))


def must_pass(exc: BaseException) -> bool:
    """Return whether the exception, or one within the group that it is, must go on to whoever runs the program.

    A KeyboardInterrupt always does, since nobody can tell a real Ctrl-C from a raised one.
    """
    return _is_closing(exc) or next(find_passing(exc), None) is not None


def find_passing(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group, or the one exception, that must go on by their types."""
    types = tuple(kind for kind, must_now in _PASSING.items() if must_now())
    return (leaf for leaf in leaves(exc) if isinstance(leaf, types))


def _is_closing(exc: BaseException) -> bool:
    """Return whether Python raised this `GeneratorExit` to end the coroutine that has caught it just now.

    A closed coroutine is given one of its own, at the place where it waits; one that user code raises comes from below.
    """
    trace = exc.__traceback__
    return isinstance(exc, GeneratorExit) and trace is not None and trace.tb_next is None


def leaves(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group, however deep; the exception itself if it is not a group."""
    # Not by recursion: a group may be nested deeper than Python's stack.
    left = [exc]
    while left:
        part = left.pop()
        if isinstance(part, BaseExceptionGroup):
            left += reversed(part.exceptions)
        else:
            yield part


def text_of(exc: BaseException) -> str:
    """Return the exception's text as Unicode of a bounded length: empty if it has none, or none can be made of it.

    One of our errors is told with its hint, on a line of its own: models, logs and stores have nothing else of it.
    """
    try:
        return _bounded(_full_text(exc))
    except BaseException as broken:
        if must_pass(broken):
            raise
        return ""


def named(exc: BaseException) -> str:
    """Return the exception's type, and its text (`text_of`) if it has one. A group is told by what is in it."""
    if isinstance(exc, BaseExceptionGroup):
        return _group_named(exc)
    name = _bounded(type(exc).__name__)
    try:
        text = _bounded(_full_text(exc))
    except BaseException as broken:
        if must_pass(broken):
            raise
        return f"{name} (without a text: its __str__ raised {_bounded(type(broken).__name__)})"
    return f"{name}: {text}" if text else name


def _group_named(group: BaseExceptionGroup[BaseException]) -> str:
    found = list(leaves(group))
    more = f"; and {len(found) - _MOST_LEAVES} more" if len(found) > _MOST_LEAVES else ""
    return f"{type(group).__name__}: {'; '.join(map(named, found[:_MOST_LEAVES]))}{more}"


def repr_of(value: object) -> str:
    """Return the value's repr in one short line; its type where none can be made."""
    try:
        text = _bounded(repr(value))
    except BaseException as broken:
        if must_pass(broken):
            raise
        return f"<{type(value).__name__}>"
    return text if len(text) <= _MOST_REPR else f"{text[:_MOST_REPR]}..."


def add_note(exc: BaseException, text: str) -> None:
    """Add a note to the exception, also to one that is frozen, or has an `add_note` of its own."""
    set_attribute(exc, "__notes__", [*getattr(exc, "__notes__", ()), text])


def set_attribute(exc: BaseException, name: str, value: object) -> None:
    """Set an attribute of the exception, also of a frozen one, unless its class has it as a property."""
    with suppress(AttributeError):
        object.__setattr__(exc, name, value)


def _full_text(exc: BaseException) -> str:
    # Of one of our errors, which this module comes before and cannot name.
    text = getattr(exc, "full_text", None)
    return text if isinstance(text, str) else str(exc)


def _bounded(text: str) -> str:
    """Return the text without what is no Unicode, and without its middle if it is long."""
    if len(text) > MOST_TEXT:
        half = MOST_TEXT // 2
        text = f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
    # By the method of `str`, since the text may be of a subclass with methods of its own.
    return str.encode(text, "utf-8", "replace").decode()
