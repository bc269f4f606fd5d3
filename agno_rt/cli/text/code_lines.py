"""Code blocks, coloured line by line as the lines arrive. The highlighter is loaded for the first block."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.syntax import Syntax

__all__ = ["CodeLines"]

_MOST_LINES = 300
"""The most lines of a block to colour. Each line is highlighted with all lines before, so the cost is quadratic."""

_MOST_CHARACTERS = 1_000
"""The most characters of a line to colour."""


class CodeLines:
    """A code block between two fences, with its language and indent."""

    def __init__(self, language: str, fence: str, indent: int, *, colour: bool) -> None:
        self.fence = fence
        self._indent = re.compile(rf" {{0,{indent}}}")
        self._end = re.compile(rf"\s*{re.escape(fence[0])}{{{len(fence)},}}\s*$")
        self._before: list[str] = []
        self._syntax = _load_syntax(language) if colour and language else None

    def is_end(self, line: str) -> bool:
        """Tell whether the line closes the block."""
        return self._end.match(line) is not None

    def styled(self, line: str) -> str:
        """Return the line in colours, without the indent of the block."""
        line = self._indent.sub("", line.expandtabs(4), count=1)
        if self._syntax is None or len(self._before) >= _MOST_LINES or len(line) > _MOST_CHARACTERS:
            return line
        # A line's colours depend on the lines before, as within a string of several lines.
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


def _load_syntax(language: str) -> Syntax | None:
    from rich.syntax import Syntax

    # This theme uses the terminal's own sixteen colours, chosen by the user to be legible.
    syntax = Syntax("", language, theme="ansi_dark", background_color="default")
    return syntax if syntax.lexer is not None else None
