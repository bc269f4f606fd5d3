"""XML of services and feeds as a small tree, within limits. Documents that declare entities are refused.

Entities multiply: a kilobyte of them is a gigabyte of text. No service and no feed needs any but the five of XML.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

import attrs

from agno_rt_web.decode import clean_line
from agno_rt_web.errors import WebError

__all__ = ["Element", "parse_xml"]

DEEPEST = 100
"""The most elements inside one another."""

MOST = 100_000
"""The most elements of a document."""


@attrs.define(eq=False)
class Element:
    """An element: its name and its attributes' names without namespaces, its children, and its parts of text."""

    name: str
    attributes: dict[str, str] = attrs.field(factory=dict)
    children: list[Element] = attrs.field(factory=list)
    parts: list[str | Element] = attrs.field(factory=list, repr=False)

    def find(self, *names: str) -> Element | None:
        """Return the first element at a path of names; `None` without one."""
        found: Element | None = self
        for name in names:
            found = next((each for each in found.children if each.name == name), None) if found else None
        return found

    def all(self, *names: str) -> list[Element]:
        """Return the children with one of the names."""
        return [each for each in self.children if each.name in names]

    def walk(self) -> Iterator[Element]:
        """Yield the element and everything inside, in the order of the document."""
        waiting = [self]
        while waiting:
            each = waiting.pop()
            yield each
            waiting.extend(reversed(each.children))

    @property
    def whole_text(self) -> str:
        """The text of the element, with the text of elements inside."""
        found, waiting = [], list(reversed(self.parts))
        while waiting:
            part = waiting.pop()
            if isinstance(part, str):
                found.append(part)
            else:
                waiting.extend(reversed(part.parts))
        return "".join(found)

    def text(self, *names: str, most: int = 500) -> str:
        """Return the text at a path of names, on one line; empty without it."""
        found = self.find(*names)
        return "" if found is None else clean_line(found.whole_text, most)


class _Builder:
    """Builds the tree."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._count = 0
        self.root = Element("")
        self._open = [self.root]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        self._count += 1
        if self._count > MOST or len(self._open) > DEEPEST:
            raise WebError(f"the XML of {self._source} has too many elements", hint="Ask for fewer results.")
        element = Element(_local(name), {_local(key): value for key, value in attributes.items()})
        self._open[-1].children.append(element)
        self._open[-1].parts.append(element)
        self._open.append(element)

    def end(self, name: str) -> None:
        """End an element."""
        self._open.pop()

    def take_text(self, text: str) -> None:
        """Take text."""
        self._open[-1].parts.append(text)

    def refuse_entity(self, *_: object) -> None:
        """Refuse a declaration of an entity."""
        raise WebError(f"the XML of {self._source} declares entities", hint="It may be an attack; use another source.")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def parse_xml(data: bytes, source: str, charset: str | None = None) -> Element:
    """Return the root of a document. Raises `WebError` for anything but bounded, well-formed XML without entities.

    `charset` wins over the document's own word.
    """
    builder = _Builder(source)
    try:
        parser = expat.ParserCreate(charset or None, namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = builder.start
        parser.EndElementHandler = builder.end
        parser.CharacterDataHandler = builder.take_text
        parser.EntityDeclHandler = builder.refuse_entity
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as exc:
        if isinstance(exc, WebError):
            raise
        raise WebError(f"the XML of {source} is broken: {exc}", hint="Try again later.") from None
    return builder.root.children[0]
