"""Input from a terminal: typed lines, and keys pressed too early.

Only for the main thread: readline and Ctrl-C do not work elsewhere.
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
    """Tell whether standard input is a terminal."""
    return sys.stdin.isatty()


def is_dumb() -> bool:
    """Tell whether the terminal can only print, without moving the cursor."""
    return os.environ.get("TERM", "") in ("", "dumb")


def ask(question: str, text: str = "") -> str | None:
    """Return a person's answer, prefilled with `text`; `None` for Ctrl-D and Ctrl-C. No history keeps the answer."""
    try:
        with prefill(text):
            return read_from(_print_question(question)).strip()
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return None


def _print_question(question: str) -> str:
    """Return the question as a prompt; in a terminal, print all but the last of its wrapped lines first."""
    if not sys.stdout.isatty():
        return question
    # readline would break a long prompt in the middle of a word.
    from agno_rt.cli.text.word_wrap import wrap_words

    *lines, last = wrap_words(question).split("\n")
    for line in lines:
        print(line)
    return f"{last} "


def read_from(prompt: str) -> str:
    """Return the line typed behind the prompt. Raises `EOFError` and `KeyboardInterrupt`."""
    if sys.stdout.isatty():
        return input(prompt)
    # `input` would write the prompt to stdout, into the file with the answers.
    print(prompt, end="", file=sys.stderr, flush=True)
    return input()


def readline_module() -> ModuleType | None:
    """Return the readline module, which edits lines; `None` on a platform without readline."""
    try:
        import readline
    except ImportError:
        return None
    return readline


@contextmanager
def prefill(text: str) -> Iterator[None]:
    """Prefill lines read inside the block with the text, and keep them out of the history."""
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
    """Keep an Enter pressed too early, inside the block, as an Enter for the next line instead of a line feed."""
    # Without readline, a line ends only with a line feed.
    return _change_settings(echo=True) if sys.stdout.isatty() else nullcontext()


def hold_keys() -> AbstractContextManager[None]:
    """Keep keys pressed inside the block for the next line, without an echo. Ctrl-C still interrupts."""
    return _change_settings(echo=False)


def restore_settings() -> None:
    """Restore the first settings of the terminal, for a process that is about to end at once."""
    if _first:
        _apply_settings(_first[0])


_first: list[list[Any]] = []
"""The terminal's settings before the outermost block with changes; empty outside."""


@contextmanager
def _change_settings(*, echo: bool) -> Iterator[None]:
    if not is_interactive() or readline_module() is None:
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin.fileno())
    changed = list(before)
    # Without ICRNL, Enter stays a carriage return: readline takes it for Enter, and a line feed for a key of its own.
    changed[0] &= ~termios.ICRNL
    if not echo:
        changed[3] &= ~(termios.ECHO | termios.ICANON)
    if outermost := not _first:
        _first.append(before)
    _apply_settings(changed)
    try:
        yield
    finally:
        _apply_settings(before)
        if outermost:
            _first.clear()


def _apply_settings(settings: list[Any]) -> None:
    import termios

    # The terminal may have been closed in the meantime.
    with suppress(termios.error, ValueError):
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, settings)
