"""Texts of services made short and plain: HTML and Atlassian's document format as text, and values within answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from agno_rt.wire.html_tags import read_tags

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


def html_to_text(html: str) -> str:
    """Return the text of HTML, a line for each block. Confluence has code in CDATA sections."""
    parts: list[str] = []
    silent = 0
    for part in read_tags(html, has_cdata=True):
        if isinstance(part, str):
            parts += [] if silent else [part]
        elif part.name in _SILENT:
            silent = max(0, silent - 1) if part.is_end else silent + (not part.is_empty)
        elif part.name in _BLOCKS:
            parts.append("\n- " if part.name == "li" and not part.is_end else "\n")
        elif part.name in ("td", "th") and part.is_end:
            parts.append(" | ")
    lines = (" ".join(line.split()) for line in "".join(parts).splitlines())
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
