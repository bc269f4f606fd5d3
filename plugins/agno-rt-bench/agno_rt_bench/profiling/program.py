"""Programs for this Python, from the words after `--`. Starts nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from agno_rt.errors import UsageError

__all__ = ["Program", "program_of"]

_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_WITH_VALUE = ("-W", "-X")


@attrs.frozen
class Program:
    """A Python program: `flags` for Python itself, then a file, `-m MODULE` or `-c CODE` with its arguments.

    `words` is the command as written by the user.
    """

    words: tuple[str, ...]
    flags: tuple[str, ...]
    target: tuple[str, ...]


def program_of(words: Sequence[str], check_verb: Callable[[str], object]) -> Program:
    """Return the program for the words: a Python file, `python` with its arguments, or a command of agno-rt.

    `check_verb` raises for an unknown command. Raises `UsageError` without anything to run.
    """
    first, rest, words = words[0], tuple(words[1:]), tuple(words)
    if _is_python(first):
        return Program(words, *_split_python_words(rest))
    if first.endswith(".py"):
        return Program(words, (), (_require_file(first), *rest))
    if first == "agno-rt":
        if not rest:
            raise UsageError("there is no command to profile", hint='Write one: -- agno-rt run assistant "Hello!"')
        first, rest = rest[0], rest[1:]
    check_verb(first)
    return Program(words, (), ("-m", "agno_rt.cli", first, *rest))


def _is_python(word: str) -> bool:
    """True if the word names Python. Raises `UsageError` for another Python, because the tools may be missing there."""
    path = Path(word)
    if not _PYTHON.fullmatch(path.name):
        return False
    if word != path.name and path.absolute().parent != Path(sys.executable).parent:
        hint = f"Install agno-rt-bench there, and begin with: {word} -m agno_rt.cli profile"
        raise UsageError(f"{word} is not the Python that agno-rt runs in", hint=hint)
    return True


def _split_python_words(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-m", "-c", "-"):
        at += 2 if words[at] in _WITH_VALUE else 1
    flags, target = words[:at], words[at:]
    if not target or target[0] == "-" or (target[0] in ("-m", "-c") and len(target) == 1):
        hint = "Name a file, a module or code: -- python script.py, -- python -m module."
        raise UsageError("python has no program to profile", hint=hint)
    return flags, target if target[0] in ("-m", "-c") else (_require_file(target[0]), *target[1:])


def _require_file(name: str) -> str:
    if not Path(name).is_file():
        raise UsageError(f"there is no file {name}", hint="Name a Python file, or a command of agno-rt.")
    return name
