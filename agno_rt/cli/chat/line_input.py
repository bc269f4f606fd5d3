"""Reads what a person types, or what a pipe holds, as inputs of one or more lines.

For the main thread alone: readline and Ctrl-C work only there. GNU readline does the editing, where Python has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Self

import attrs

from agno_rt.cli.chat.input_history import History
from agno_rt.cli.terminal import is_dumb, is_interactive, prefill, read_from, readline_module

__all__ = ["Complete", "LineInput", "Typed"]

PROMPT, MORE = "> ", ". "
QUOTES = '"""'

Complete = Callable[[str], Iterable[str]]
"""What a line that is begun may become: whole lines."""

_NEWLINE_KEYS = (r"\C-j", r"\e\C-m", r"\e\C-j")
"""Ctrl-J, and Alt+Enter."""


@attrs.frozen
class Typed:
    """An input. One that is `quoted` is a question, whatever it begins with."""

    text: str
    quoted: bool = False


@attrs.define
class LineInput:
    """Reads inputs one by one; use it in a `with` block. A backslash at its end continues a line; `three quotes` and
    `/multi` begin a block. Several lines that are pasted are one input.
    """

    complete: Complete
    history: History | None = None
    _readline: ModuleType | None = attrs.field(default=None, init=False)
    _pastes: bool = attrs.field(default=False, init=False)
    _found: list[str] = attrs.field(factory=list, init=False)

    def __enter__(self) -> Self:
        if is_interactive():
            self._readline = readline_module()
        if self._readline is not None:
            self._set_up(self._readline)
        return self

    def __exit__(self, *error: object) -> None:
        if self._readline is not None:
            self._readline.set_completer(None)
            self._readline.set_auto_history(True)

    def read(self) -> Typed | None:
        """Return the next input, or `None` at the end. Raises `KeyboardInterrupt` for Ctrl-C, which discards it."""
        typed = self._read_input()
        if typed is not None and typed.text.strip():
            self._remember(typed.text)
        return typed

    def edit(self, text: str) -> str | None:
        """Have a text changed, and return it; `None` where that is given up."""
        try:
            with prefill(text), self._keys():
                return self._line(PROMPT)
        except KeyboardInterrupt:
            print(file=sys.stderr)
            return None

    def _read_input(self) -> Typed | None:
        with self._keys():
            line = self._line(PROMPT)
            if line is None:
                return None
            start = line.strip()
            if start == "/multi":
                return Typed(self._block([], lambda line: line.strip() == "/end"), quoted=True)
            if start.startswith(QUOTES):
                return Typed(self._quoted(line), quoted=True)
            lines = [line]
            while lines[-1].endswith("\\") and not lines[-1].endswith("\\\\"):
                following = self._line(MORE)
                lines[-1] = lines[-1][:-1]
                if following is None:
                    break
                lines.append(following)
            return Typed("\n".join(lines))

    def _quoted(self, line: str) -> str:
        first = line.strip()[len(QUOTES) :]
        if first.rstrip().endswith(QUOTES):
            return first.rstrip().removesuffix(QUOTES)
        text = self._block([first] if first else [], lambda line: line.rstrip().endswith(QUOTES), keep=True)
        return text.rstrip().removesuffix(QUOTES).rstrip("\n")

    def _block(self, lines: list[str], is_end: Callable[[str], bool], *, keep: bool = False) -> str:
        """The lines up to the one that ends the block, or up to the end of all input."""
        while (line := self._line(MORE)) is not None:
            if is_end(line):
                lines += [line] if keep else []
                break
            lines.append(line)
        return "\n".join(lines)

    def _line(self, prompt: str) -> str | None:
        try:
            line = read_from(prompt) if is_interactive() else input()
        except EOFError:
            if is_interactive() and not (self._pastes and sys.stdout.isatty()):
                print(file=sys.stderr)  # readline does, where it looks out for what is pasted
            return None
        return line.replace("\r\n", "\n").replace("\r", "\n")

    def _remember(self, text: str) -> None:
        if self._readline is None or not is_interactive():
            return
        readline = self._readline
        count = readline.get_current_history_length()
        if count and readline.get_history_item(count) == text:
            return
        readline.add_history(text)
        if self.history is not None:
            self.history.add(text)

    def _set_up(self, readline: ModuleType) -> None:
        readline.set_auto_history(False)
        readline.clear_history()
        for text in [] if self.history is None else self.history.load():
            readline.add_history(text)
        readline.set_completer(self._completion)
        readline.set_completer_delims(" \t\n")
        if "libedit" in (readline.__doc__ or ""):
            readline.parse_and_bind("bind ^I rl_complete")
            return
        readline.parse_and_bind("tab: complete")
        if not is_dumb():
            # Python turns it off: pasted lines would else arrive as so many inputs.
            readline.parse_and_bind("set enable-bracketed-paste on")
            self._pastes = True

    @contextmanager
    def _keys(self) -> Iterator[None]:
        """Inside the block the keys that begin a new line do, elsewhere they end the input."""
        readline = self._readline
        if readline is None or "libedit" in (readline.__doc__ or ""):
            yield
            return
        for key in _NEWLINE_KEYS:
            readline.parse_and_bind(rf'"{key}": "\C-v\C-j"')
        try:
            yield
        finally:
            for key in _NEWLINE_KEYS:
                readline.parse_and_bind(rf'"{key}": accept-line')

    def _completion(self, word: str, number: int) -> str | None:
        assert self._readline is not None
        if number == 0:
            begin = self._readline.get_begidx()
            line = self._readline.get_line_buffer()[: self._readline.get_endidx()]
            self._found = [whole[begin:] for whole in self.complete(line) if whole.startswith(line)]
        return self._found[number] if number < len(self._found) else None
