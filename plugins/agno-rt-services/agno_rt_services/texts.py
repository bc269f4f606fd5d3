"""Texts of services made short and plain: HTML and Atlassian's document format as text, and values within answers."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["find_parameter", "html_to_text", "pick", "read_document", "shorten", "show_part", "write_document"]

_BLOCKS = {"p", "div", "br", "li", "tr", "table", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "ul", "ol", "blockquote"}
_SILENT = {"script", "style", "head", "title"}
_BLOCK_NODES = {"paragraph", "heading", "listItem", "codeBlock", "blockquote", "tableRow", "rule", "panel"}
_DEEPEST = 50


def pick(value: Any, *names: str) -> Any:
    """Return the value at the end of the names, or `None` if a name is missing on the way."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def shorten(text: Any, most: int = 300) -> str:
    """Return the text on one line, with at most `most` characters; empty for anything but a text."""
    line = " ".join(text.split()) if isinstance(text, str) else ""
    return line if len(line) <= most else f"{line[: most - 3]}..."


def show_part(text: str, start: int, most: int) -> dict[str, Any]:
    """Return a part of a long text, the length of the whole, and the start of the next part, if any."""
    end = start + most
    shown: dict[str, Any] = {"text": text[start:end], "characters": len(text)}
    return shown | ({"next_start": end} if end < len(text) else {})


def find_parameter(link: Any, *names: str) -> str | None:
    """Return the first of the parameters in a link to the next page, or `None`."""
    query = parse_qs(urlsplit(link).query) if isinstance(link, str) else {}
    return next((query[name][0] for name in names if name in query), None)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Begin a line at a block."""
        self._silent += tag in _SILENT
        if tag in _BLOCKS:
            self.parts.append("\n- " if tag == "li" else "\n")

    def handle_endtag(self, tag: str) -> None:
        """End a cell or a block."""
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" | ")

    def handle_data(self, data: str) -> None:
        """Take the text."""
        if not self._silent:
            self.parts.append(data)

    def unknown_decl(self, data: str) -> None:
        """Take the text of a CDATA section: Confluence has code in them."""
        if data.startswith("CDATA["):
            self.parts.append(data[6:])


def html_to_text(html: str) -> str:
    """Return the text of HTML, a line for each block."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).splitlines())
    return "\n".join(line for line in lines if line and line != "-")


def read_document(value: Any) -> str:
    """Return the text of a document in Atlassian's format; a text stays as it is."""
    if isinstance(value, str):
        return value
    parts: list[str] = []
    _read_node(value, parts, 0)
    return "\n".join(line.rstrip() for line in "".join(parts).splitlines() if line.strip())


def _read_node(node: Any, parts: list[str], depth: int) -> None:
    if not isinstance(node, dict) or depth > _DEEPEST:
        return
    kind = node.get("type")
    text = node.get("text") or pick(node, "attrs", "text") or pick(node, "attrs", "url")
    if isinstance(text, str):
        parts.append(text)
    parts += ["- "] if kind == "listItem" else []
    content = node.get("content")
    for child in content if isinstance(content, list) else ():
        _read_node(child, parts, depth + 1)
    if kind in _BLOCK_NODES or kind == "hardBreak":
        parts.append("\n")


def write_document(text: str) -> dict[str, Any]:
    """Return the text as a document in Atlassian's format: a paragraph for each line."""
    lines = [line for line in text.splitlines() if line.strip()]
    content = [{"type": "paragraph", "content": [{"type": "text", "text": line}]} for line in lines]
    return {"type": "doc", "version": 1, "content": content}
