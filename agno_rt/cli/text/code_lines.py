"""Colours the lines of a code block one by one, as they arrive. The highlighter is loaded for the first such block."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.syntax import Syntax

__all__ = ["CodeLines"]

_MOST_LINES = 300
"""Lines of a block that are coloured. What came before says how a line is read, so each one costs as much as all."""

_MOST_CHARACTERS = 1_000


class CodeLines:
    """A code block between two fences: in which language, and how far it is indented."""

    def __init__(self, language: str, fence: str, indent: int, *, colour: bool) -> None:
        self.fence = fence
        self._indent = re.compile(rf" {{0,{indent}}}")
        self._end = re.compile(rf"\s*{re.escape(fence[0])}{{{len(fence)},}}\s*$")
        self._before: list[str] = []
        self._syntax = _syntax(language) if colour and language else None

    def is_end(self, line: str) -> bool:
        """Whether the line closes the block."""
        return self._end.match(line) is not None

    def styled(self, line: str) -> str:
        """The line as it is to be shown, without the indent of the block."""
        line = self._indent.sub("", line.expandtabs(4), count=1)
        if self._syntax is None or len(self._before) >= _MOST_LINES or len(line) > _MOST_CHARACTERS:
            return line
        self._before.append(line)
        from rich.color import ColorSystem
        from rich.console import Console

        console = Console(color_system="standard", width=_MOST_CHARACTERS)
        text = self._syntax.highlight("\n".join(self._before)).split("\n", allow_blank=True)[len(self._before) - 1]
        system = ColorSystem.STANDARD
        return "".join(
            segment.style.render(segment.text, color_system=system) if segment.style else segment.text
            for segment in text.render(console)
        )


def _syntax(language: str) -> Syntax | None:
    from rich.syntax import Syntax

    # These are the terminal's own sixteen colours, which its user has chosen to be legible.
    syntax = Syntax("", language, theme="ansi_dark", background_color="default")
    return syntax if syntax.lexer is not None else None
