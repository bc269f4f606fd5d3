"""The reader of HTML: the article alone by trafilatura if it is installed, or else everything but menus."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.util import find_spec

from agno_rt.knowledge.documents import Document
from agno_rt.knowledge.reading import Unread
from agno_rt_readers.base import FileReader, TextBuilder, decode_text
from agno_rt_readers.paragraphs import as_heading, as_text
from agno_rt_readers.settings import ReaderSettings

__all__ = ["HtmlReader"]

SHORTEST = 200
"""The fewest characters of an article: on a short page, trafilatura takes the article for decoration."""

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
        builder, plain = TextBuilder(unread.source, self.settings.max_characters), _Page()
        plain.feed(page)
        plain.close()
        article = _find_article(page) if self._has_library else ""
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


class _Page(HTMLParser):
    """The blocks of a page in Markdown, and its title."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self.title = ""
        self._text: list[str] = []
        self._level = 0
        self._skipped: list[str] = []
        self._is_title = self._is_code = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a block, or a part to leave out."""
        if tag == "title" and not self.title:
            self._is_title = True
        elif tag in _SKIPPED:
            self._skipped.append(tag)
        elif tag in ("td", "th"):
            self._text.append(" | " if self._text else "")
        elif tag in _BLOCKS or tag in _HEADINGS:
            if tag == "body":
                self._skipped.clear()  # a head need not be closed
            self._finish()
            self._level = int(tag[1]) if tag in _HEADINGS else 0
            self._is_code = tag == "pre"
            if tag == "li":
                self._text.append("- ")

    def handle_endtag(self, tag: str) -> None:
        """End a block, or a part to leave out."""
        if tag == "title":
            self._is_title = False
        elif tag in self._skipped:
            # An element that is never closed ends with the one around it.
            while self._skipped.pop() != tag:
                pass
        elif tag in _BLOCKS or tag in _HEADINGS:
            self._finish()

    def handle_data(self, data: str) -> None:
        """Take text."""
        if self._is_title:
            self.title += data
        elif not self._skipped:
            self._text.append(data)

    def close(self) -> None:
        """Finish the last block."""
        super().close()
        self._finish()

    def _finish(self) -> None:
        text = "".join(self._text)
        text = text.strip("\n") if self._is_code else " ".join(text.split())
        if text.strip(" -|"):
            fenced = f"```\n{text}\n```" if self._is_code else as_text(text)
            self.blocks.append(as_heading(self._level, text) if self._level else fenced)
        self._text.clear()
        self._level, self._is_code = 0, False
