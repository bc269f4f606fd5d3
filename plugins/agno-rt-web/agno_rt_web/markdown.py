"""Pages as Markdown: headings, paragraphs, lists, links, code and tables, without scripts, menus and hidden parts."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import attrs

from agno_rt.wire.html_tags import Tag, read_tags
from agno_rt_web.decode import clean_line, clean_text

__all__ = ["Page", "read_page"]

SHORTEST = 200
"""The fewest characters of the main part of a page; a page with less is shown whole."""

MOST_PARTS = 300_000
"""The most tags and texts of a page; the rest is left out."""

MOST_LINKS = 5_000
"""The most links with their address: addresses are longer than the words of their links."""

LONGEST_LINK = 500
_SKIPPED = frozenset(
    {"script", "style", "template", "nav", "footer", "aside", "noscript", "svg", "math", "iframe", "form", "object"}
    | {"select", "button", "textarea", "dialog", "canvas", "audio", "video", "noembed", "noframes", "head"}
)
_BLOCKS = frozenset(
    {"p", "div", "section", "article", "main", "header", "li", "ul", "ol", "dl", "dt", "dd", "table", "tr", "body"}
    | {"blockquote", "pre", "figure", "figcaption", "hr", "caption", "details", "summary", "address", "fieldset"}
    | {"h1", "h2", "h3", "h4", "h5", "h6"}
)
_VOID = frozenset(
    {"br", "hr", "img", "input", "link", "meta", "source", "wbr", "area", "base", "col", "embed", "track"}
)
_OPEN = frozenset({"p", "li", "dt", "dd", "td", "th", "tr"})
_BREAK = "\v"
_MAIN = frozenset({"main", "article"})
_NOT_FOLLOWED = ("#", "javascript:", "data:", "mailto:", "tel:")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![\d.])|opacity\s*:\s*0(?![\d.])")


@attrs.frozen
class Page:
    """A page as a reader sees it: title, and text in Markdown."""

    title: str
    text: str


def read_page(page: str, url: str) -> Page:
    """Return the page as Markdown. Links are absolute; a main part is shown alone if it has enough text."""
    reader = _Reader(url)
    for count, part in enumerate(read_tags(page)):
        if isinstance(part, str):
            reader.take_text(part)
        elif part.is_end:
            reader.end(part.name)
        else:
            reader.start(part)
        if count > MOST_PARTS:
            break
    return reader.finish()


class _Reader:
    def __init__(self, url: str) -> None:
        self.blocks: list[tuple[str, bool]] = []
        self._url = url
        self._title = ""
        self._text: list[str] = []
        self._prefix = ""
        self._lists: list[int] = []
        self._skipped: list[str] = []
        self._main = self._quotes = 0
        self._is_title = self._is_code = self._has_text = False
        self._links = 0
        self._link = ""
        self._link_place = 0

    def start(self, tag: Tag) -> None:
        """Begin an element."""
        name = tag.name
        if name == "title":
            self._is_title = not self._title
        elif self._skipped:
            self._start_inside(tag)
        elif name in _SKIPPED or _is_hidden(tag):
            if name not in _VOID:
                self._skipped.append(name)
        elif name in _BLOCKS:
            self._begin_block(name)
        else:
            self._begin_words(tag)

    def _start_inside(self, tag: Tag) -> None:
        """Begin an element inside a skipped one."""
        name, skipped = tag.name, self._skipped[0]
        if name == "body" or (skipped in _OPEN and name in _BLOCKS | _OPEN):
            # A head, a paragraph or an item need not be closed.
            self._skipped.clear()
            self.start(tag)
        elif name == skipped:
            self._skipped.append(name)

    def _begin_words(self, tag: Tag) -> None:
        """Begin an element within a line."""
        name = tag.name
        if name == "br":
            self._text.append(_BREAK)
        elif name in ("td", "th"):
            self._text.append(" | " if self._has_text else " ")
        elif name == "a":
            self._end_link()
            self._link, self._link_place = tag.attributes.get("href", ""), len(self._text)
        elif name == "img" and (alt := clean_line(tag.attributes.get("alt", ""), 200)):
            self._text.append(f"[image: {alt}]")
            self._has_text = True
        elif name == "code" and not self._is_code:
            self._text.append("`")

    def _begin_block(self, name: str) -> None:
        self._flush()
        if name in ("ul", "ol"):
            self._lists.append(0 if name == "ul" else 1)
        elif name == "li":
            self._prefix = self._begin_item()
        elif name in _MAIN:
            self._main += 1
        elif name == "blockquote":
            self._quotes = min(self._quotes + 1, 3)
        elif len(name) == 2 and name[0] == "h" and name != "hr":
            self._prefix = "#" * int(name[1]) + " "
        self._is_code = name == "pre"

    def _begin_item(self) -> str:
        depth = min(len(self._lists), 5)
        number = self._lists[-1] if self._lists else 0
        if number:
            self._lists[-1] += 1
        return "  " * max(depth - 1, 0) + (f"{number}. " if number else "- ")

    def end(self, name: str) -> None:
        """End an element."""
        if name == "title":
            self._is_title = False
        elif self._skipped:
            if name == self._skipped[0]:
                self._skipped.pop()
        elif name in _BLOCKS:
            self._flush()
            self._prefix = ""
            if name in ("ul", "ol") and self._lists:
                self._lists.pop()
            elif name in _MAIN:
                self._main = max(self._main - 1, 0)
            elif name == "blockquote":
                self._quotes = max(self._quotes - 1, 0)
        elif name == "a":
            self._end_link()
        elif name == "code" and not self._is_code:
            self._text.append("`")

    def take_text(self, text: str) -> None:
        """Take text."""
        if self._is_title:
            self._title += text
        elif not self._skipped:
            self._text.append(text)
            self._has_text = self._has_text or not text.isspace()

    def _end_link(self) -> None:
        link, self._link = self._link, ""
        if not link or self._is_code or self._links >= MOST_LINKS or link.startswith(_NOT_FOLLOWED):
            return
        before = "".join(self._text[self._link_place :])
        words = " ".join(before.split())
        if not words:
            return
        try:
            target = urljoin(self._url, link.strip())
        except ValueError:
            return
        if len(target) <= LONGEST_LINK:
            self._links += 1
            space = " " if before[:1].isspace() else ""
            target = re.sub(r"[\s()<>]", "", target)
            self._text[self._link_place :] = [f"{space}[{words}]({target})"]

    def _flush(self) -> None:
        """End the block that is being read."""
        if not self._has_text:
            self._text.clear()
            self._link, self._is_code = "", False
            return
        self._end_link()
        text, prefix = "".join(self._text), self._prefix
        self._text.clear()
        is_code, self._is_code, self._has_text = self._is_code, False, False
        if is_code:
            text = clean_text(text.replace(_BREAK, "\n")).strip("\n")
            fence = "````" if "```" in text else "```"
            text = f"{fence}\n{text}\n{fence}"
        else:
            lines = (" ".join(clean_text(line).split()) for line in text.split(_BREAK))
            text = (" " if prefix else "\n").join(filter(None, lines))
        if not text.strip(" -|`\n"):
            return
        self._prefix = ""
        quote = "> " * self._quotes
        self.blocks.append((quote + prefix + text, self._main > 0))

    def finish(self) -> Page:
        """Return the page."""
        self._flush()
        main = [text for text, is_main in self.blocks if is_main]
        shown = main if sum(map(len, main)) >= SHORTEST else [text for text, _ in self.blocks]
        return Page(clean_line(self._title, 300), _join_blocks(shown))


def _is_hidden(tag: Tag) -> bool:
    """Return whether people do not see the element. Texts for models alone are a common attack."""
    found = tag.attributes
    return "hidden" in found or found.get("aria-hidden") == "true" or bool(_HIDDEN.search(found.get("style", "")))


def _join_blocks(blocks: list[str]) -> str:
    """Join blocks with an empty line, and the items of lists without."""
    parts: list[str] = []
    for before, block in zip(["", *blocks], blocks, strict=False):
        is_list = bool(re.match(r"\s*(- |\d+\. )", before)) and bool(re.match(r"\s*(- |\d+\. )", block))
        parts += [("\n" if is_list else "\n\n") if parts else "", block]
    return "".join(parts)
