"""The text of PowerPoint files (.pptx), by the standard library alone: bounded, and without entities. Pure."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from agno_rt_workspace.base import WorkspaceError

__all__ = ["read_slides"]

PART_BYTES = 5_000_000
"""The most bytes of one part, unpacked: a small file may unpack to gigabytes."""
MOST_SLIDES = 500

_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_SLIDES = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_LINKS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_HINT = "Give a .pptx file: PowerPoint saves one."

_BROKEN = (zipfile.BadZipFile, zlib.error, ET.ParseError, KeyError, ValueError, EOFError, OSError, RuntimeError)
"""What zipfile and the parser raise for broken, encrypted and other files; `NotImplementedError` is among them."""


def read_slides(data: bytes, path: str) -> list[str]:
    """Return the text of each slide, in order. Raises `WorkspaceError` for another file, and for a huge part."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return ["\n".join(_read_lines(_read_part(packed, name))) for name in _order_slides(packed)]
    except _BROKEN as exc:
        raise WorkspaceError(f"{path} is not a presentation", hint=_HINT) from exc


def _order_slides(packed: zipfile.ZipFile) -> list[str]:
    """Return the names of the slides in the order of the presentation, which is not that of their numbers."""
    targets = {
        str(link.get("Id")): posixpath.normpath(posixpath.join("ppt", str(link.get("Target")))).lstrip("/")
        for link in _read_part(packed, "ppt/_rels/presentation.xml.rels")
    }
    listed = _read_part(packed, "ppt/presentation.xml").iter(f"{_SLIDES}sldId")
    names = [targets[str(each.get(f"{_LINKS}id"))] for each in listed]
    if len(names) > MOST_SLIDES:
        raise WorkspaceError(f"the presentation has {len(names):,} slides, and may have {MOST_SLIDES}", hint=_HINT)
    return names


def _read_part(packed: zipfile.ZipFile, name: str) -> ET.Element:
    with packed.open(name) as opened:
        data = opened.read(PART_BYTES + 1)
    if len(data) > PART_BYTES:
        raise WorkspaceError(f"a part of the presentation has more than {PART_BYTES:,} bytes", hint=_HINT)
    # Office writes no document types; entities need one.
    if re.search(rb"<!(?:DOCTYPE|ENTITY)", data) or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise WorkspaceError("the presentation has entities, or another encoding", hint=_HINT)
    return ET.fromstring(data)


def _read_lines(slide: ET.Element) -> Iterator[str]:
    for paragraph in slide.iter(f"{_DRAWING}p"):
        parts = [
            "\n" if part.tag == f"{_DRAWING}br" else part.text or "" for part in paragraph.iter() if _is_text(part)
        ]
        text = "".join(parts).strip()
        if text:
            yield text


def _is_text(part: ET.Element) -> bool:
    return part.tag in (f"{_DRAWING}t", f"{_DRAWING}br")
