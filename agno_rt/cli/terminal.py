"""Reads lines from a person or a pipe. For the main thread alone: readline and Ctrl-C work only there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["is_interactive", "line_history", "read_line"]

PROMPT = "> "
HISTORY_LINES = 1_000


def is_interactive() -> bool:
    """Whether a person types the lines."""
    return sys.stdin.isatty()


def read_line() -> str | None:
    """The next line, or `None` at the end. Raises `KeyboardInterrupt` for Ctrl-C, which discards what was typed."""
    try:
        if not is_interactive():
            return input()
        if sys.stdout.isatty():
            return input(PROMPT)
        # Where the answers go to a file, the prompt must not.
        print(PROMPT, end="", file=sys.stderr, flush=True)
        return input()
    except EOFError:
        return None


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
