"""The reader of Word documents (.docx): headings, paragraphs, lists, tables and notes, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from agno_rt.knowledge.documents import Document
from agno_rt.knowledge.reading import Unread
from agno_rt_readers.archive import Archive, open_archive
from agno_rt_readers.base import FileReader, TextBuilder, damaged_error
from agno_rt_readers.paragraphs import Paragraphs, as_heading, as_text

__all__ = ["WordReader"]

_HEADING = re.compile(r"heading ([1-9])$", re.IGNORECASE)
_NOTES = ("footnotes", "endnotes")
_MOST_PARENTS = 20
"""The styles that a style may be based on, in turn: a damaged document may have a circle of them."""


class WordReader(FileReader):
    """A `Reader` of .docx. Headings are found by their styles, in any language of Word."""

    name = "word-1"

    def load(self, unread: Unread) -> Document:
        """See `FileReader.load`."""
        builder = TextBuilder(unread.source, self.settings.max_characters)
        with open_archive(unread, self.check_size) as archive:
            main = archive.find("", "officeDocument")
            if not main:
                raise damaged_error(unread.source, "it has no document inside")
            body = _Body(builder, _read_styles(archive, main))
            archive.parse(main, body)
            for kind in _NOTES:
                if part := archive.find(main, kind):
                    archive.parse(part, _Body(builder, {}))
            return self.make_document(unread, builder, archive.read_title() or body.title)


@attrs.define
class _Style:
    level: int = 0
    parent: str = ""
    is_item: bool = False


class _Styles:
    """The events of the styles: the level of a heading is in the style's outline, or its English name."""

    def __init__(self) -> None:
        self.styles: dict[str, _Style] = {}
        self._style = _Style()

    def start(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        value = attributes.get("val", "")
        if name == "style":
            self._style = self.styles[attributes.get("styleId", "")] = _Style()
        elif name == "basedOn":
            self._style.parent = value
        elif name == "numPr":
            self._style.is_item = True
        elif name == "outlineLvl":
            self._style.level = _level_of_outline(value)
        elif name == "name" and not self._style.level:
            found = _HEADING.match(value)
            self._style.level = int(found[1]) if found else int(value.casefold() == "title")

    def end(self, space: str, name: str) -> None: ...

    def text(self, text: str) -> None: ...


def _level_of_outline(value: str) -> int:
    """Return the level of a heading; 0 for the level of plain text, which is 9."""
    return int(value) + 1 if value.isdecimal() and len(value) == 1 and value != "9" else 0


def _read_styles(archive: Archive, main: str) -> dict[str, _Style]:
    """Return the styles by their ids, each with the properties of the styles below."""
    part, found = archive.find(main, "styles"), _Styles()
    if part:
        archive.parse(part, found)
    for style in found.styles.values():
        parent = style.parent
        for _ in range(_MOST_PARENTS):
            if style.level or parent not in found.styles:
                break
            above = found.styles[parent]
            style.level, style.is_item, parent = above.level, style.is_item or above.is_item, above.parent
    return found.styles


class _Body(Paragraphs):
    """The events of the text."""

    space = "wordprocessingml"

    def __init__(self, builder: TextBuilder, styles: Mapping[str, _Style]) -> None:
        super().__init__()
        self.title = ""
        self._builder = builder
        self._styles = styles
        self._level = 0
        self._is_item = self._was_item = self._was_row = False

    def start_other(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "p":
            self._level, self._is_item = 0, False
        elif name == "pStyle":
            style = self._styles.get(attributes.get("val", ""), _Style())
            self._level, self._is_item = style.level, style.is_item
        elif name == "outlineLvl":
            self._level = _level_of_outline(attributes.get("val", "")) or self._level
        elif name == "numPr":
            self._is_item = True

    def finish(self, text: str) -> None:
        is_row = text.startswith("| ") and not self._open
        is_item = self._is_item and not self._level and not is_row
        if self._level and not is_row:
            self._builder.add(as_heading(self._level, text))
            self.title = self.title or text
        elif is_item:
            self._builder.add(f"- {text}" if text else "", "\n" if self._was_item else "\n\n")
        else:
            self._builder.add(text if is_row else as_text(text), "\n" if is_row and self._was_row else "\n\n")
        self._was_item, self._was_row = is_item, is_row
        self._level, self._is_item = 0, False
