"""Markdown shown in a terminal while it arrives: word by word, each block in its form, and nothing drawn twice.

Only certain text is written: a complete word, a complete line of code, a complete table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import attrs
from rich.cells import cell_len

from agno_rt.cli.text.code_lines import CodeLines
from agno_rt.cli.text.inline_markdown import Kind, Span, read_inline
from agno_rt.cli.text.markdown_table import column_widths, read_rows
from agno_rt.cli.text.word_wrap import WordWriter

__all__ = ["MarkdownWriter"]

_FENCE = re.compile(r"(\s*)(`{3,}|~{3,})([^`]*)$")
_HEADING = re.compile(r"(#{1,6})\s+")
_RULE = re.compile(r"(?:-\s*){3,}$|(?:\*\s*){3,}$|(?:_\s*){3,}$")
_BULLET = re.compile(r"[-*+][ \t]+(\[[ xX]\][ \t]+)?")
_NUMBER = re.compile(r"(\d{1,9}[.)])[ \t]+")
_QUOTE = re.compile(r"> ?")
_UNDECIDED = re.compile(
    r"(?:#{1,6}|\d{1,9}[.)]?|[-*_+](?:[ \t]*[-*_])*[ \t]*|[-*+][ \t]+\[(?:[ xX](?:\][ \t]*)?)?|`{1,3}|~{1,3})?$"
)
"""The beginning of a line whose kind of block depends on more text."""

_LONGEST_START = 200
"""The most characters of a line that wait for a decision about the block."""

_LONGEST_QUOTE = 16
"""The most cells of quote marks on a line, so that deeply nested quotes leave room for text."""

_STYLES: Mapping[Kind, str] = {"bold": "1", "italic": "3", "strike": "9", "link": "4", "url": "2;4", "code": "36"}
_DIM, _BOLD = "2", "1"


@attrs.define
class MarkdownWriter:
    """A writer of Markdown: takes pieces of text with `feed`. After `finish` a new text may begin.

    The text must be free of control characters. Without `colour` only styles such as bold and italic are used.
    """

    write: Callable[[str], None]
    width: Callable[[], int]
    colour: bool = True
    _words: WordWriter = attrs.field(init=False)
    _line: str = attrs.field(default="", init=False)
    """The part of the line that waits to be written."""
    _before: str = attrs.field(default="", init=False)
    """The last character of the line's part that was read."""
    _style: str = attrs.field(default="", init=False)
    _in_text: bool = attrs.field(default=False, init=False)
    _code: CodeLines | None = attrs.field(default=None, init=False)
    _table: list[str] = attrs.field(factory=list, init=False)
    _levels: list[int] = attrs.field(factory=list, init=False)
    _quote: str = attrs.field(default="", init=False)
    _gap: bool = attrs.field(default=False, init=False)
    """True if an empty line comes before the next block."""
    _any: bool = attrs.field(default=False, init=False)
    """True after the first block."""

    def __attrs_post_init__(self) -> None:
        self._words = WordWriter(self.write, self.width)

    @property
    def is_open(self) -> bool:
        """True if text waits to be written, or the present line has text."""
        return bool(self._line or self._table) or self._code is not None or self._words.is_open

    def feed(self, text: str) -> None:
        """Take in a piece of text and write the certain part."""
        for line in text.splitlines(keepends=True):
            self._line += line.rstrip("\r\n")
            self._advance(whole=line.endswith(("\n", "\r")))

    def finish(self) -> None:
        """Write the waiting text and end the line."""
        if self._line or self._in_text:
            self._advance(whole=True)
        self._end_table()
        if self._words.is_open:
            self._words.end_line()
        # A model may end in the middle of a code block: the next answer must not be taken for code.
        self._code, self._levels, self._quote = None, [], ""
        self._gap = self._any = False

    def _advance(self, *, whole: bool) -> None:
        # Code is coloured by the line, and a table's widths depend on all its rows: both wait for whole lines.
        if self._in_text:
            self._write_text(whole=whole)
        elif self._code is not None:
            if whole:
                self._write_code(self._code)
        elif not whole and self._is_undecided():
            return
        elif self._line.lstrip().startswith("|"):
            if whole:
                self._table.append(self._take_line())
        else:
            self._end_table()
            self._begin_block(whole=whole)

    def _is_undecided(self) -> bool:
        # A hostile line could stay undecided without end.
        if len(self._line) > _LONGEST_START:
            return False
        start = self._line.lstrip()
        while found := _QUOTE.match(start):
            start = start[found.end() :].lstrip()
        return bool(_UNDECIDED.match(start)) or start.startswith(("```", "~~~")) or _RULE.match(start) is not None

    def _take_line(self) -> str:
        line, self._line = self._line, ""
        return line

    def _begin_block(self, *, whole: bool) -> None:
        line = self._line
        if not line.strip():
            self._take_line()
            self._gap = True
            return
        if fence := _FENCE.match(line):
            self._take_line()
            self._begin_code(fence[1].expandtabs(4), fence[2], fence[3].strip())
            return
        self._style = ""
        self._line, self._before, self._in_text = self._begin_line(line), "", True
        rest = self._line
        if rest or whole:
            self._write_text(whole=whole)

    def _begin_line(self, line: str) -> str:
        """Write the marks at the beginning of the line in their form, and return the text behind."""
        rest, quote = line.lstrip(), ""
        # Markdown counts a tab as the blanks up to the next multiple of four columns.
        depth = len(line.expandtabs(4)) - len(rest.expandtabs(4))
        while len(quote) < _LONGEST_QUOTE and (found := _QUOTE.match(rest)):
            quote += "│ "
            rest = rest[found.end() :]
            depth = len(rest) - len(rest.lstrip())
            rest = rest.lstrip()
        if quote != self._quote:
            self._quote, self._levels = quote, []
        found = _HEADING.match(rest)
        self._separate(always=found is not None)
        if found:
            self._levels = []
            self._style = "1;4" if len(found[1]) == 1 else _BOLD
            self._words.begin(quote, _DIM, indent=quote)
            return rest[found.end() :]
        if _RULE.match(rest):
            self._words.begin(quote, _DIM, indent=quote)
            self._words.add_raw("─" * min(20, self.width() - len(quote)), _DIM)
            return ""
        if found := _BULLET.match(rest) or _NUMBER.match(rest):
            self._begin_item(depth, quote, found)
            return rest[found.end() :]
        self._begin_plain(depth, quote)
        return rest

    def _separate(self, *, always: bool = False) -> None:
        """Write an empty line between the last block and the next, if needed."""
        if self._any and (self._gap or always):
            self._words.end_line()
        self._gap, self._any = False, True

    def _begin_item(self, depth: int, quote: str, found: re.Match[str]) -> None:
        """Write the item's mark, indented by the depth of the item."""
        while self._levels and self._levels[-1] > depth:
            self._levels.pop()
        if not self._levels or depth > self._levels[-1] + 1:
            self._levels.append(depth)
        if found.re is _NUMBER:
            mark = f"{found[1]} "
        else:
            mark = {"": "• ", "[ ]": "☐ ", "[x]": "☑ "}[(found[1] or "").strip().lower()]
        lead = quote + "  " * (len(self._levels) - 1)
        self._words.begin(lead + mark, _DIM if quote else "", indent=lead + " " * len(mark))

    def _begin_plain(self, depth: int, quote: str) -> None:
        lead = quote + self._list_indent(depth)
        self._words.begin(lead, _DIM if quote else "", indent=lead)

    def _list_indent(self, depth: int) -> str:
        """Return the indent of a block by the open list items around it, and close the other items."""
        self._levels = [level for level in self._levels if level < depth]
        return "  " * len(self._levels)

    def _write_text(self, *, whole: bool) -> None:
        taken = self._line.rstrip() if whole else self._line
        spans, self._line = read_inline(taken, whole=whole, before=self._before)
        if read := taken[: len(taken) - len(self._line)]:
            self._before = read[-1]
        for span in spans:
            self._words.add(self._span_text(span), self._span_style(span, self._style))
        if whole:
            self._words.end_line()
            self._in_text = False

    def _span_text(self, span: Span) -> str:
        """Return the span's text, for code without colour in backticks."""
        text, kinds = span
        return f"`{text}`" if "code" in kinds and not self.colour else text

    def _span_style(self, span: Span, style: str) -> str:
        """Return the SGR parameters of the span within a text of the style."""
        kinds = (kind for kind in _STYLES if kind in span[1] and (kind != "code" or self.colour))
        return ";".join(filter(None, (style, *(_STYLES[kind] for kind in kinds))))

    def _begin_code(self, indent: str, fence: str, info: str) -> None:
        self._code = CodeLines(info.split(maxsplit=1)[0] if info else "", fence, len(indent), colour=self.colour)
        self._separate()
        self._words.add_raw(self._list_indent(len(indent)) + fence + info, _DIM)
        self._words.end_line()

    def _write_code(self, code: CodeLines) -> None:
        line, lead = self._take_line(), "  " * len(self._levels)
        if code.is_end(line):
            self._words.add_raw(lead + code.fence, _DIM)
            self._code = None
        else:
            self._words.add_raw(lead + code.styled(line))
        self._words.end_line()

    def _end_table(self) -> None:
        lines, self._table = self._table, []
        if not lines:
            return
        self._separate()
        table = read_rows(lines)
        if table is None:
            for line in lines:
                self._write_cell(line, "")
                self._words.end_line()
            return
        rows, aligned = table
        widths = column_widths(rows, self._cell_width, self.width())
        if widths is None:
            self._write_list(rows)
        else:
            self._write_columns(rows, aligned, widths)

    def _write_columns(self, rows: Sequence[Sequence[str]], aligned: Sequence[str], widths: Sequence[int]) -> None:
        for number, row in enumerate(rows):
            for at, (cell, side, width) in enumerate(zip(row, aligned, widths, strict=True)):
                missing = width - self._cell_width(cell)
                left = {"<": 0, ">": missing, "^": missing // 2}[side]
                self._words.add_raw((" │ " if at else "") + " " * left, _DIM)
                self._write_cell(cell, _BOLD if number == 0 else "")
                if at < len(row) - 1:
                    self._words.add_raw(" " * (missing - left))
            self._words.end_line()
            if number == 0:
                self._words.add_raw("─┼─".join("─" * width for width in widths), _DIM)
                self._words.end_line()

    def _cell_width(self, cell: str) -> int:
        return cell_len("".join(self._span_text(span) for span in read_inline(cell, whole=True)[0]))

    def _write_list(self, rows: Sequence[Sequence[str]]) -> None:
        """Write a table too wide for columns: the cells of each row on lines of their own, behind their titles."""
        titles = rows[0]
        for number, row in enumerate(rows[1:]):
            if number:
                self._words.end_line()
            for title, cell in zip(titles, row, strict=True):
                self._words.begin("", indent="  ")
                self._write_words(f"{title}: " if title else "", _BOLD)
                self._write_words(cell, "")
                self._words.end_line()

    def _write_words(self, text: str, style: str) -> None:
        for span in read_inline(text, whole=True)[0]:
            self._words.add(self._span_text(span), self._span_style(span, style))

    def _write_cell(self, cell: str, style: str) -> None:
        for span in read_inline(cell, whole=True)[0]:
            self._words.add_raw(self._span_text(span), self._span_style(span, style))
