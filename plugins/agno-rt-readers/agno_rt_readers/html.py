"""The reader of HTML: the article alone by trafilatura if it is installed, or else everything but menus."""

from __future__ import annotations

import re
from collections import Counter
from importlib.util import find_spec

import trio

from agno_rt.knowledge.documents import Document
from agno_rt.knowledge.reading import Unread
from agno_rt.wire.html_tags import Tag, read_tags
from agno_rt_readers.base import FileReader, TextBuilder, decode_text
from agno_rt_readers.paragraphs import as_heading, as_text
from agno_rt_readers.settings import ReaderSettings

__all__ = ["HtmlReader"]

SHORTEST = 200
"""The fewest characters of an article: on a short page, trafilatura takes the article for decoration."""

MOST_PARTS = 50_000
MOST_ATTRIBUTES = 1_000
"""The most tags and texts of a page, and attributes of a tag, for trafilatura, whose time grows with their square
(measured: 40,000 attributes of one tag take 20 s)."""

_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?([a-zA-Z0-9_-]{1,40})""", re.IGNORECASE)
_SKIPPED = frozenset({"script", "style", "template", "nav", "footer", "aside", "noscript", "svg", "head"})
_BLOCKS = frozenset(
    {"p", "div", "section", "article", "main", "header", "li", "ul", "ol", "dl", "dt", "dd", "table", "tr"}
    | {"blockquote", "pre", "figure", "figcaption", "br", "hr", "body"}
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
_ANY_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)


class HtmlReader(FileReader):
    """A `Reader` of HTML. The encoding is the page's own word, or else UTF-8.

    Without trafilatura, for a short page, and for a page whose headings trafilatura loses, the text is everything but
    scripts, menus and the like.
    """

    def __init__(self, settings: ReaderSettings | None = None) -> None:
        super().__init__(settings)
        self._has_library = find_spec("trafilatura") is not None
        # Another name after the library was installed: pages are read again.
        self.name = "html-1-article" if self._has_library else "html-1"  # type: ignore[misc]

    def load(self, unread: Unread) -> Document:
        """See `FileReader.load`."""
        page = _decode(unread.source, self.load_bytes(unread))
        builder, plain = TextBuilder(unread.source, self.settings.max_characters), _Page(page)
        article = _find_article(page) if self._has_library and plain.is_plain else ""
        # Where trafilatura is unsure, it loses the headings, which citations need.
        has_headings = _ANY_HEADING.search("\n\n".join(plain.blocks)) is not None
        if len(article) >= SHORTEST and (not has_headings or _ANY_HEADING.search(article)):
            builder.add(article)
        else:
            for block in plain.blocks:
                builder.add(block)
        first = _HEADING.search(builder.text)
        return self.make_document(unread, builder, plain.title or (first[1] if first else ""))


def _decode(source: str, data: bytes) -> str:
    found = _CHARSET.search(data[:2_000])
    if found and not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode(found[1].decode())
        except (LookupError, UnicodeDecodeError):
            pass  # a page that says a wrong encoding may still be UTF-8
    return decode_text(source, data)


def _find_article(page: str) -> str:
    import trafilatura  # slow to import, and this is a worker thread

    return (trafilatura.extract(page, output_format="markdown", include_comments=False) or "").strip()


class _Page:
    """The blocks of a page in Markdown, and its title."""

    def __init__(self, page: str) -> None:
        self.blocks: list[str] = []
        self.title = ""
        self.is_plain = True
        """True for a page that trafilatura reads in seconds."""

        self._text: list[str] = []
        self._level = 0
        self._skipped: list[str] = []
        # A look into the list for each end would take a time that grows with the square of the page.
        self._counts: Counter[str] = Counter()
        self._is_title = self._is_code = False
        for count, part in enumerate(read_tags(page)):
            if not count % 10_000:
                trio.from_thread.check_cancelled()
            if isinstance(part, str):
                self._take_text(part)
            elif part.is_end:
                self._end(part.name)
            else:
                self._start(part)
                self.is_plain = self.is_plain and count < MOST_PARTS and part.attribute_count <= MOST_ATTRIBUTES
        self._finish()

    def _start(self, tag: Tag) -> None:
        """Begin a block, or a part to leave out."""
        name = tag.name
        if name == "title" and not self.title:
            self._is_title = True
        elif name in _SKIPPED:
            if not tag.is_empty:
                self._skipped.append(name)
                self._counts[name] += 1
        elif name in ("td", "th"):
            self._text.append(" | " if self._text else "")
        elif name in _BLOCKS or name in _HEADINGS:
            if name == "body":
                # A head need not be closed.
                self._skipped.clear()
                self._counts.clear()
            self._finish()
            self._level = int(name[1]) if name in _HEADINGS else 0
            self._is_code = name == "pre"
            if name == "li":
                self._text.append("- ")

    def _end(self, name: str) -> None:
        """End a block, or a part to leave out."""
        if name == "title":
            self._is_title = False
        elif self._counts[name]:
            # An element that is never closed ends with the one around it.
            while (last := self._skipped.pop()) != name:
                self._counts[last] -= 1
            self._counts[name] -= 1
        elif name in _BLOCKS or name in _HEADINGS:
            self._finish()

    def _take_text(self, text: str) -> None:
        if self._is_title:
            self.title = self.title or text
        elif not self._skipped:
            self._text.append(text)

    def _finish(self) -> None:
        text = "".join(self._text)
        text = text.strip("\n") if self._is_code else " ".join(text.split())
        if text.strip(" -|"):
            fenced = f"```\n{text}\n```" if self._is_code else as_text(text)
            self.blocks.append(as_heading(self._level, text) if self._level else fenced)
        self._text.clear()
        self._level, self._is_code = 0, False
