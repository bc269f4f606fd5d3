"""What a terminal is asked for: a line that somebody types, and the keys that are pressed too early.

For the main thread alone: readline and Ctrl-C work only there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

__all__ = ["ask", "held_keys", "is_dumb", "is_interactive", "prefilled", "read_from", "readline_module"]


def is_interactive() -> bool:
    """Whether a person types the lines."""
    return sys.stdin.isatty()


def is_dumb() -> bool:
    """Whether the terminal knows no more than to write on."""
    return os.environ.get("TERM", "") in ("", "dumb")


def ask(question: str, text: str = "") -> str | None:
    """What a person answers, with `text` there to be changed; `None` for Ctrl-D and Ctrl-C. No history has it."""
    try:
        with prefilled(text):
            return read_from(question).strip()
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return None


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
def prefilled(text: str) -> Iterator[None]:
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


@contextmanager
def held_keys() -> Iterator[Callable[[], None]]:
    """Inside the block keys are not echoed into what is written, but kept for the next line that is read.

    Ctrl-C stays what it is. The function that the block is given ends this early.
    """
    if not is_interactive() or readline_module() is None:
        yield lambda: None
        return
    import termios

    before = termios.tcgetattr(sys.stdin.fileno())
    quiet = list(before)
    # Enter must stay Enter: as a line feed it would be the key for a new line of the same input.
    quiet[0] &= ~termios.ICRNL
    quiet[3] &= ~(termios.ECHO | termios.ICANON)

    def release() -> None:
        # The terminal may be gone by now.
        with suppress(termios.error, ValueError):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, before)

    termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, quiet)
    try:
        yield release
    finally:
        release()
