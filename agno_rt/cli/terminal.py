"""What a terminal is asked for: a line that somebody types, and the keys that are pressed too early.

For the main thread alone: readline and Ctrl-C work only there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import ModuleType
from typing import Any

__all__ = [
    "ask",
    "hold_keys",
    "is_dumb",
    "is_interactive",
    "keep_enter",
    "prefill",
    "read_from",
    "readline_module",
    "restore_settings",
]


def is_interactive() -> bool:
    """Whether a person types the lines."""
    return sys.stdin.isatty()


def is_dumb() -> bool:
    """Whether the terminal knows no more than to write on."""
    return os.environ.get("TERM", "") in ("", "dumb")


def ask(question: str, text: str = "") -> str | None:
    """What a person answers, with `text` there to be changed; `None` for Ctrl-D and Ctrl-C. No history has it."""
    try:
        with prefill(text):
            return read_from(_wrapped(question)).strip()
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return None


def _wrapped(question: str) -> str:
    """The question's last line, once those before it are written: readline would cut words at the edge."""
    if not sys.stdout.isatty():
        return question
    from agno_rt.cli.text.word_wrap import wrap_words

    *lines, last = wrap_words(question).split("\n")
    for line in lines:
        print(line)
    return f"{last} "


def read_from(prompt: str) -> str:
    """Return the line that is typed behind the prompt. Raises `EOFError` and `KeyboardInterrupt`."""
    if sys.stdout.isatty():
        return input(prompt)
    # Where the answers go to a file, the prompt must not.
    print(prompt, end="", file=sys.stderr, flush=True)
    return input()


def readline_module() -> ModuleType | None:
    """Return readline, with which lines are edited; not every platform has it."""
    try:
        import readline
    except ImportError:
        return None
    return readline


@contextmanager
def prefill(text: str) -> Iterator[None]:
    """Inside the block a line that is read has the text in it already, and goes into no history."""
    readline = readline_module()
    if readline is None:
        yield
        return
    readline.set_auto_history(False)
    readline.set_startup_hook(lambda: readline.insert_text(text))
    try:
        yield
    finally:
        readline.set_startup_hook()


def keep_enter() -> AbstractContextManager[None]:
    """Inside the block Enter that is pressed too early is Enter still when the next line is read, and no line feed."""
    # Where readline does not read the line, Enter must be a line feed.
    return _changed_settings(echo=True) if sys.stdout.isatty() else nullcontext()


def hold_keys() -> AbstractContextManager[None]:
    """Inside the block keys are not echoed into what is written, but kept for the next line that is read.

    Ctrl-C stays what it is.
    """
    return _changed_settings(echo=False)


def restore_settings() -> None:
    """Give the terminal the settings back that it had at first, for a process that is about to end at once."""
    if _first:
        _set(_first[0])


_first: list[list[Any]] = []
"""The terminal's settings before the outermost block that changed them."""


@contextmanager
def _changed_settings(*, echo: bool) -> Iterator[None]:
    if not is_interactive() or readline_module() is None:
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin.fileno())
    changed = list(before)
    changed[0] &= ~termios.ICRNL
    if not echo:
        changed[3] &= ~(termios.ECHO | termios.ICANON)
    if outermost := not _first:
        _first.append(before)
    _set(changed)
    try:
        yield
    finally:
        _set(before)
        if outermost:
            _first.clear()


def _set(settings: list[Any]) -> None:
    import termios

    # The terminal may be gone by now.
    with suppress(termios.error, ValueError):
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, settings)
