"""The parts of an office document: a ZIP archive of XML, read piece by piece, within limits.

Word and PowerPoint write no DTD, so a part with one is refused: entities that multiply need a DTD. The sizes are
checked before anything is unpacked; `zipfile` unpacks no more than the size told by the archive.
"""

from __future__ import annotations

import io
import lzma
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol
from xml.parsers import expat

import attrs
import trio

from agno_rt.errors import AgnoError, UsageError
from agno_rt.knowledge.reading import Unread
from agno_rt_readers.base import damaged_error

__all__ = ["Archive", "Relation", "XmlEvents", "open_archive"]

MAX_PART = 100_000_000
"""The most bytes of a part of the archive, unpacked."""
DEEPEST = 200
"""The most elements inside one another."""
_PIECE = 65_536
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BROKEN = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(OSError, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError, OverflowError),
)
"""The errors of `zipfile` for damaged archives, and for passwords."""


@attrs.frozen
class Relation:
    """A relation of a part to another: the kind, the last word of the type, and the other part's name."""

    kind: str
    target: str


class XmlEvents(Protocol):
    """The receiver of the elements of a part. Names are without namespaces."""

    def start(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        """Take the beginning of an element."""
        ...

    def end(self, space: str, name: str) -> None:
        """Take the end of an element."""
        ...

    def text(self, text: str) -> None:
        """Take a piece of text."""
        ...


class Archive:
    """An open office document. Every method raises `UsageError` with the source for a damaged archive."""

    def __init__(self, source: str, archive: zipfile.ZipFile) -> None:
        self.source = source
        self._archive = archive

    def has(self, part: str) -> bool:
        """Return whether the archive has the part."""
        return part in self._archive.NameToInfo

    def parse(self, part: str, events: XmlEvents) -> None:
        """Read the XML of a part."""
        size = self._archive.getinfo(part).file_size
        if size > MAX_PART:
            hint = f"A part may have {MAX_PART:,} bytes. Save the document as several."
            raise UsageError(f"{self.source} has a part {part!r} of {size:,} bytes", hint=hint)
        parser = self._make_parser(part, events)
        with self._archive.open(part) as file:
            while piece := file.read(_PIECE):
                parser.Parse(piece)
                trio.from_thread.check_cancelled()
            parser.Parse(b"", True)

    def relations(self, part: str) -> dict[str, Relation]:
        """Return the relations of a part, by id; of the whole document for an empty name."""
        folder, name = posixpath.split(part)
        where = posixpath.join(folder, "_rels", f"{name}.rels")
        found: dict[str, Relation] = {}
        if self.has(where):
            self.parse(where, _Relations(folder, found))
        return found

    def find(self, part: str, kind: str) -> str:
        """Return the name of the part of a kind of relation; empty without."""
        targets = (relation.target for relation in self.relations(part).values() if relation.kind == kind)
        return next((target for target in targets if self.has(target)), "")

    def read_title(self) -> str:
        """Return the title of the document's properties; may be empty."""
        part, title = self.find("", "core-properties"), _Title()
        if part:
            self.parse(part, title)
        return title.found

    def _make_parser(self, part: str, events: XmlEvents) -> expat.XMLParserType:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        depth = 0

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            if depth > DEEPEST:
                raise damaged_error(self.source, f"the part {part!r} has elements {DEEPEST} deep")
            space, _, local = name.rpartition(" ")
            events.start(space, local, {key.rpartition(" ")[2]: value for key, value in attributes.items()})

        def end(name: str) -> None:
            nonlocal depth
            depth -= 1
            space, _, local = name.rpartition(" ")
            events.end(space, local)

        def refuse(*_: object) -> None:
            raise damaged_error(self.source, f"the part {part!r} has a DTD, which office programs never write")

        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = events.text
        parser.StartDoctypeDeclHandler = refuse
        return parser


class _Relations:
    def __init__(self, folder: str, found: dict[str, Relation]) -> None:
        self._folder = folder
        self._found = found

    def start(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", self._folder, attributes.get("Target", "")))
            kind = attributes.get("Type", "").rpartition("/")[2]
            self._found[attributes.get("Id", "")] = Relation(kind, target.lstrip("/"))

    def end(self, space: str, name: str) -> None: ...

    def text(self, text: str) -> None: ...


class _Title:
    found = ""
    _is_inside = False

    def start(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        self._is_inside = name == "title"

    def end(self, space: str, name: str) -> None:
        self._is_inside = False

    def text(self, text: str) -> None:
        if self._is_inside and len(self.found) < 1_000:
            self.found += text


@contextmanager
def open_archive(unread: Unread, check_size: Callable[[Unread], None]) -> Iterator[Archive]:
    """Open an office document. Raises `UsageError` for any other file, also during the reading."""
    check_size(unread)
    try:
        with io.BytesIO(unread.data) if unread.data is not None else open(unread.path, "rb") as file:
            if file.read(len(_OLE)) == _OLE:
                hint = "Open it, and save it without a password, in the format of today."
                raise UsageError(f"{unread.source} has a password, or the format of before 2007", hint=hint)
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                yield Archive(unread.source, archive)
    except AgnoError:
        raise
    except expat.ExpatError as exc:
        raise damaged_error(unread.source, f"its XML is damaged ({exc})") from exc
    except _BROKEN as exc:
        raise damaged_error(unread.source, f"it is not an office document, or damaged ({exc})") from exc
