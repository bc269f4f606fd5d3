"""Judge exceptions from code outside agno_rt: which must pass, and with what text to report others. Knows no trio.

Tools, models, hooks, observers and backends may raise anything: an exit, asyncio's cancellation, an exception without
a text. Each place that calls such code catches `BaseException`, raises again any exception that `must_pass`, and turns
others into a result or an error of agno_rt, with a text from `named`.
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
"""The most characters of an exception's text to report."""

_MOST_REPR = 200

_MOST_LEAVES = 5
"""The most exceptions of a group to report."""


def _always_pass() -> bool:
    return True


_PASSING: dict[type[BaseException], Callable[[], bool]] = {KeyboardInterrupt: _always_pass}
"""The types that must pass, each with a function that says whether they must now."""


def let_pass(*types: type[BaseException], when: Callable[[], bool] = _always_pass) -> None:
    """Let exceptions of these types pass through every run to its caller, while `when()` is true.

    Such an exception is not a failure of the code that raised it. A KeyboardInterrupt always passes, trio's `Cancelled`
    while trio cancels, and pytest's own outcomes in a test.
    """
    _PASSING.update(dict.fromkeys(types, when))


def must_pass(exc: BaseException) -> bool:
    """Return whether the exception, or an exception in a group, must pass through every run to its caller.

    A KeyboardInterrupt always must, since a real Ctrl-C looks like a raised one.
    """
    return _is_closing(exc) or next(find_passing(exc), None) is not None


def find_passing(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group, or the exception itself, whose types must pass."""
    types = tuple(kind for kind, must_now in _PASSING.items() if must_now())
    return (leaf for leaf in leaves(exc) if isinstance(leaf, types))


def _is_closing(exc: BaseException) -> bool:
    """Return whether Python raised this `GeneratorExit` to close the coroutine that has just caught it.

    When Python closes a coroutine, the exception starts where the coroutine waits; an exception raised by user code
    comes from a deeper frame.
    """
    trace = exc.__traceback__
    return isinstance(exc, GeneratorExit) and trace is not None and trace.tb_next is None


def leaves(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group, however deep; for any other exception, the exception itself."""
    # A loop and not recursion, since a group may be nested deeper than Python's stack.
    left = [exc]
    while left:
        part = left.pop()
        if isinstance(part, BaseExceptionGroup):
            left += reversed(part.exceptions)
        else:
            yield part


def text_of(exc: BaseException) -> str:
    """Return the exception's text as bounded Unicode, or an empty text if there is none or its `__str__` fails.

    The text of an agno_rt error includes the hint on a line of its own: models, logs and stores see nothing else.
    """
    try:
        return _bound_text(_read_full_text(exc))
    except BaseException as broken:
        if must_pass(broken):
            raise
        return ""


def named(exc: BaseException) -> str:
    """Return the exception's type, and its text (`text_of`) if any. A group is described by its exceptions."""
    if isinstance(exc, BaseExceptionGroup):
        return _describe_group(exc)
    name = _bound_text(type(exc).__name__)
    try:
        text = _bound_text(_read_full_text(exc))
    except BaseException as broken:
        if must_pass(broken):
            raise
        return f"{name} (without a text: its __str__ raised {_bound_text(type(broken).__name__)})"
    return f"{name}: {text}" if text else name


def _describe_group(group: BaseExceptionGroup[BaseException]) -> str:
    found = list(leaves(group))
    more = f"; and {len(found) - _MOST_LEAVES} more" if len(found) > _MOST_LEAVES else ""
    return f"{type(group).__name__}: {'; '.join(map(named, found[:_MOST_LEAVES]))}{more}"


def repr_of(value: object) -> str:
    """Return the value's repr in one short line, or its type if the repr fails."""
    try:
        text = _bound_text(repr(value))
    except BaseException as broken:
        if must_pass(broken):
            raise
        return f"<{type(value).__name__}>"
    return text if len(text) <= _MOST_REPR else f"{text[:_MOST_REPR]}..."


def add_note(exc: BaseException, text: str) -> None:
    """Add a note to the exception, even if it is frozen or has an `add_note` of its own."""
    set_attribute(exc, "__notes__", [*getattr(exc, "__notes__", ()), text])


def set_attribute(exc: BaseException, name: str, value: object) -> None:
    """Set an attribute of the exception, even a frozen one, unless its class has a property of that name."""
    with suppress(AttributeError):
        object.__setattr__(exc, name, value)


def _read_full_text(exc: BaseException) -> str:
    # Only an AgnoError has a `full_text`. This module cannot import the class, because errors.py imports this module.
    text = getattr(exc, "full_text", None)
    return text if isinstance(text, str) else str(exc)


def _bound_text(text: str) -> str:
    """Return the text as valid Unicode, without its middle if long."""
    if len(text) > MOST_TEXT:
        half = MOST_TEXT // 2
        text = f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
    # Call the method of `str` itself: the text may be of a subclass with other methods.
    return str.encode(text, "utf-8", "replace").decode()
