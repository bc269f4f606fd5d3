"""Inputs of one or more lines, typed by a person or read from a pipe.

Only for the main thread: readline and Ctrl-C do not work elsewhere. GNU readline edits the lines, if Python has it.
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
"""Completes the beginning of a line: returns whole lines."""

_NEWLINE_KEYS = (r"\C-j", r"\e\C-m", r"\e\C-j")
"""Ctrl-J, and Alt+Enter."""


@attrs.frozen
class Typed:
    """An input. A `quoted` input is a question, even with a slash at its beginning."""

    text: str
    quoted: bool = False


@attrs.define
class LineInput:
    """A reader of inputs, one by one, for use in a `with` block.

    A backslash at the end continues a line; three quotes and `/multi` begin a block. Pasted lines are one input.
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
        """Return the next input, or `None` at the end. Ctrl-C discards the line and raises `KeyboardInterrupt`."""
        typed = self._read_input()
        if typed is not None and typed.text.strip():
            self._remember(typed.text)
        return typed

    def edit(self, text: str) -> str | None:
        """Let the person change the text, and return it; `None` for Ctrl-C and Ctrl-D."""
        try:
            with prefill(text), self._newline_keys():
                return self._read_line(PROMPT)
        except KeyboardInterrupt:
            print(file=sys.stderr)
            return None

    def _read_input(self) -> Typed | None:
        with self._newline_keys():
            line = self._read_line(PROMPT)
            if line is None:
                return None
            start = line.strip()
            if start == "/multi":
                return Typed(self._read_block([], lambda line: line.strip() == "/end"), quoted=True)
            if start.startswith(QUOTES):
                return Typed(self._read_quoted(line), quoted=True)
            lines = [line]
            while lines[-1].endswith("\\") and not lines[-1].endswith("\\\\"):
                following = self._read_line(MORE)
                lines[-1] = lines[-1][:-1]
                if following is None:
                    break
                lines.append(following)
            return Typed("\n".join(lines))

    def _read_quoted(self, line: str) -> str:
        first = line.strip()[len(QUOTES) :]
        if first.rstrip().endswith(QUOTES):
            return first.rstrip().removesuffix(QUOTES)
        text = self._read_block([first] if first else [], lambda line: line.rstrip().endswith(QUOTES), keep=True)
        return text.rstrip().removesuffix(QUOTES).rstrip("\n")

    def _read_block(self, lines: list[str], is_end: Callable[[str], bool], *, keep: bool = False) -> str:
        """Return the lines up to the end of the block, or of all input."""
        while (line := self._read_line(MORE)) is not None:
            if is_end(line):
                lines += [line] if keep else []
                break
            lines.append(line)
        return "\n".join(lines)

    def _read_line(self, prompt: str) -> str | None:
        try:
            line = read_from(prompt) if is_interactive() else input()
        except EOFError:
            if is_interactive() and not (self._pastes and sys.stdout.isatty()):
                print(file=sys.stderr)  # with bracketed paste, readline itself prints the line feed
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
        readline.set_completer(self._complete_word)
        readline.set_completer_delims(" \t\n")
        # On macOS the module is often libedit, with other commands and without bracketed paste.
        if "libedit" in (readline.__doc__ or ""):
            readline.parse_and_bind("bind ^I rl_complete")
            return
        readline.parse_and_bind("tab: complete")
        if not is_dumb():
            # Python turns this off; without it, each pasted line would be an input of its own.
            readline.parse_and_bind("set enable-bracketed-paste on")
            self._pastes = True

    @contextmanager
    def _newline_keys(self) -> Iterator[None]:
        """Let the newline keys insert a line feed inside the block; outside they end the input."""
        readline = self._readline
        if readline is None or "libedit" in (readline.__doc__ or ""):
            yield
            return
        for key in _NEWLINE_KEYS:
            # Ctrl-V inserts the next key as it is.
            readline.parse_and_bind(rf'"{key}": "\C-v\C-j"')
        try:
            yield
        finally:
            for key in _NEWLINE_KEYS:
                readline.parse_and_bind(rf'"{key}": accept-line')

    def _complete_word(self, word: str, number: int) -> str | None:
        assert self._readline is not None
        if number == 0:
            begin = self._readline.get_begidx()
            line = self._readline.get_line_buffer()[: self._readline.get_endidx()]
            self._found = [whole[begin:] for whole in self.complete(line) if whole.startswith(line)]
        return self._found[number] if number < len(self._found) else None
