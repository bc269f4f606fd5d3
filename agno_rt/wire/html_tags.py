"""HTML as a stream of tags and texts, in a time that grows with the length alone.

The parsers at hand do not keep that: on hostile pages of a few hundred kilobytes, `html.parser` of Python 3.11, lxml
and selectolax take seconds to minutes, and selectolax holds up the whole process meanwhile (measured: 100,000 elements
inside one another, 40,000 attributes of one tag, 100,000 tags without an end). A page for a model needs no tree.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import attrs

__all__ = ["Tag", "read_tags", "unescape"]

_NAME = re.compile(r"[a-zA-Z][^\s/>]{0,60}")
_ATTRIBUTE = re.compile(r"""([^\s>/][^\s=>/]*)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]*))?""")
_CDATA = "<![CDATA["
_SPACE = re.compile(r"[\s/]*")
_LONG_NUMBER = re.compile(r"&#[xX]?[0-9a-fA-F]{8,};?")
_KEPT = frozenset({"href", "src", "alt", "class", "id", "hidden", "style", "aria-hidden", "title", "content", "name"})
_RAW = {
    name: re.compile(rf"</{name}[\s/>]", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}
"""Elements whose content is text up to their end, with the pattern of the end."""


@attrs.frozen
class Tag:
    """The start or the end of an element.

    `attributes` has those that matter to a reader, and `attribute_count` counts them all. `is_empty` is true for a tag
    that ends with a slash: in SVG and XHTML, such an element has no content.
    """

    name: str
    is_end: bool = False
    attributes: dict[str, str] = attrs.field(factory=dict)
    attribute_count: int = 0
    is_empty: bool = False

    @property
    def classes(self) -> list[str]:
        """The classes of the element."""
        return self.attributes.get("class", "").split()


def unescape(text: str) -> str:
    """Return the text with references to characters replaced."""
    if "&" not in text:
        return text
    # Python refuses numbers of thousands of digits by an error; no character has so many.
    return html.unescape(_LONG_NUMBER.sub("\ufffd", text))


def read_tags(page: str, *, has_cdata: bool = False) -> Iterator[Tag | str]:
    """Yield the tags and the texts of a page. A tag or a comment that does not end takes the rest of the page.

    With `has_cdata`, the page is XHTML: the content of a CDATA section is a text, and an empty tag has no content.
    https://html.spec.whatwg.org/multipage/parsing.html#tokenization, without the rare parts.
    """
    place = 0
    while (start := page.find("<", place)) >= 0:
        if start > place:
            yield unescape(page[place:start])
        mark = page[start + 1 : start + 2]
        if has_cdata and page.startswith(_CDATA, start):
            end = page.find("]]>", start)
            yield page[start + len(_CDATA) : end if end >= 0 else len(page)]
            place = end + 3
        elif mark in {"!", "?"}:
            is_comment = page.startswith("<!--", start)
            end = page.find("-->" if is_comment else ">", start + (4 if is_comment else 2))
            place = end + (3 if is_comment else 1)
        elif found := _NAME.match(page, start + 1 + (mark == "/")):
            tag, place = _read_tag(page, found, is_end=mark == "/")
            if tag is not None:
                yield tag
                if tag.name in _RAW and not tag.is_end and not (has_cdata and tag.is_empty):
                    close = _RAW[tag.name].search(page, place)
                    end = -1 if close is None else close.start()
                    yield unescape(page[place:end] if end >= 0 else page[place:])
                    place = end
            end = place
        else:
            yield "<"
            end = place = start + 1
        if end < 0:
            return
    yield unescape(page[place:])


def _read_tag(page: str, name: re.Match[str], *, is_end: bool) -> tuple[Tag | None, int]:
    """Return the tag, and the place behind; -1 for a tag without an end."""
    attributes: dict[str, str] = {}
    count = 0
    place = _find_word(page, name.end())
    while place < len(page) and page[place] != ">":
        found = _ATTRIBUTE.match(page, place)
        if found is None:
            return None, -1
        count += 1
        key = found[1].lower() if len(found[1]) < 20 else ""
        if key in _KEPT and key not in attributes:
            attributes[key] = unescape((found[2] or "").strip("\"'"))
        place = _find_word(page, found.end())
    if place >= len(page):
        return None, -1
    return Tag(name[0].lower(), is_end, attributes, count, page[place - 1] == "/"), place + 1


def _find_word(page: str, place: int) -> int:
    """Return the next place without a space or a slash."""
    found = _SPACE.match(page, place)
    return place if found is None else found.end()
