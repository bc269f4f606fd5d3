"""The reader of presentations (.pptx): titles, text, tables and notes of each slide, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import Document
from agno_rt.knowledge.reading import Unread
from agno_rt_readers.archive import Archive, open_archive
from agno_rt_readers.base import FileReader, TextBuilder, damaged_error
from agno_rt_readers.paragraphs import Paragraphs, as_heading, as_text

__all__ = ["SlidesReader"]

_TITLES = frozenset({"title", "ctrTitle"})


class SlidesReader(FileReader):
    """A `Reader` of .pptx. Each slide has a heading, and a mark such as "slide 3"."""

    name = "slides-1"

    def load(self, unread: Unread) -> Document:
        """See `FileReader.load`."""
        builder, first = TextBuilder(unread.source, self.settings.max_characters), ""
        with open_archive(unread, self.check_size) as archive:
            main = archive.find("", "officeDocument")
            if not main:
                raise damaged_error(unread.source, "it has no presentation inside")
            slides = _list_slides(archive, main)
            if len(slides) > self.settings.max_pages:
                hint = "Raise max_pages in [plugins.readers]."
                raise UsageError(f"{unread.source} has {len(slides):,} slides", hint=hint)
            for number, part in enumerate(slides, 1):
                title = _add_slide(archive, part, number, builder)
                first = first or title
            # A new presentation of PowerPoint has its program's name as title.
            title = archive.read_title()
            return self.make_document(unread, builder, first if title in ("", "PowerPoint Presentation") else title)


def _list_slides(archive: Archive, main: str) -> list[str]:
    """Return the names of the slides' parts, in the order of the presentation."""
    order, relations = _Order(), archive.relations(main)
    archive.parse(main, order)
    targets = [relations[key].target for key in order.ids if key in relations]
    return [target for target in targets if archive.has(target)]


def _add_slide(archive: Archive, part: str, number: int, builder: TextBuilder) -> str:
    """Add a slide with its notes, and return its title."""
    slide, notes = _Slide(), _Slide()
    archive.parse(part, slide)
    if beside := archive.find(part, "notesSlide"):
        archive.parse(beside, notes)
    title = " ".join(slide.titles)
    builder.mark(f"slide {number}")
    # Without a heading, the slide would stand under the heading of the slide before.
    builder.add(as_heading(1, title or f"Slide {number}"))
    for paragraph in slide.paragraphs:
        builder.add(as_text(paragraph))
    for paragraph in notes.bodies:
        builder.add(f"Notes: {paragraph}")
    return title


class _Order:
    def __init__(self) -> None:
        self.ids: list[str] = []
        self._known: set[str] = set()

    def start(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        # `id` of the relation hides the slide's own number, which has no namespace and comes first.
        key = attributes.get("id", "")
        if name == "sldId" and key not in self._known:
            self._known.add(key)
            self.ids.append(key)

    def end(self, space: str, name: str) -> None: ...

    def text(self, text: str) -> None: ...


class _Slide(Paragraphs):
    """The events of a slide, or of its notes."""

    space = "drawingml"

    def __init__(self) -> None:
        super().__init__()
        self.titles: list[str] = []
        self.bodies: list[str] = []
        self.paragraphs: list[str] = []
        self._kind = ""

    def start_other(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "sp":
            self._kind = ""
        elif name == "ph":
            self._kind = attributes.get("type", "body")

    def end_other(self, name: str) -> None:
        if name == "sp":
            self._kind = ""

    def finish(self, text: str) -> None:
        if self._kind == "sldNum":
            return
        if text and self._kind in _TITLES:
            self.titles.append(text)
        elif text:
            self.paragraphs.append(text)
            if self._kind == "body":
                self.bodies.append(text)
