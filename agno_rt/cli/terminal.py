"""Reads lines from a person or a pipe. For the main thread alone: readline and Ctrl-C work only there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["ask", "is_interactive", "line_history", "read_line"]

PROMPT = "> "
HISTORY_LINES = 1_000


def is_interactive() -> bool:
    """Whether a person types the lines."""
    return sys.stdin.isatty()


def ask(question: str, text: str = "") -> str | None:
    """What a person answers, with `text` there to be changed; `None` for Ctrl-D and Ctrl-C. No history has it."""
    try:
        with _prefilled(text):
            return _input(question).strip()
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return None


def read_line() -> str | None:
    """The next line, or `None` at the end. Raises `KeyboardInterrupt` for Ctrl-C, which discards what was typed."""
    try:
        return _input(PROMPT) if is_interactive() else input()
    except EOFError:
        return None


def _input(prompt: str) -> str:
    if sys.stdout.isatty():
        return input(prompt)
    # Where the answers go to a file, the prompt must not.
    print(prompt, end="", file=sys.stderr, flush=True)
    return input()


@contextmanager
def _prefilled(text: str) -> Iterator[None]:
    try:
        import readline
    except ImportError:
        yield
        return
    readline.set_auto_history(False)
    readline.set_startup_hook(lambda: readline.insert_text(text))
    try:
        yield
    finally:
        readline.set_startup_hook()
        readline.set_auto_history(True)


@contextmanager
def line_history(path: Path) -> Iterator[None]:
    """Inside the block the arrow keys bring back earlier lines, also those of earlier times, which `path` keeps."""
    try:
        import readline
    except ImportError:
        # Not every platform has it; lines can be read without.
        yield
        return
    with suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(HISTORY_LINES)
        with suppress(OSError):
            path.touch(mode=0o600)
            readline.write_history_file(path)
