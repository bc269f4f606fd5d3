"""Places the parts of a picture: sizes are measured from the inside out, then places are given from the outside in.

The parts form a tree, in series or side by side, so no two boxes overlap, and no two lines cross.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs

from agno_rt.drawing.words import clean_text, cut_text, measure_text, state_note
from agno_rt.runnable import Drawing

__all__ = ["LINE", "NAME_SIZE", "NOTE_SIZE", "PADDING", "Box", "Line", "abridge", "lay_out"]

NAME_SIZE, NOTE_SIZE = 14, 12
"""The font sizes of titles and of notes."""

LINE = 18
"""The height of a line of text."""

PADDING = 12
"""The space between a border and the content."""

_WIDEST = 260
"""The width at which text is cut."""
_DOWN, _ACROSS = 28, 20
"""The space between parts one after another, and side by side."""
_FORK = 24
"""The height of the lines that lead to parts side by side, and of those that lead away."""
_BACK = 28
"""The width of the way back of a loop. The other side has the same space, so that the parts stay in the middle."""
_MOST_PARTS, _MOST_DEPTH = 40, 16


@attrs.frozen
class Line:
    """A line through points. `arrow` is at the end; `maybe` is the way to one of several choices, or back."""

    points: tuple[tuple[float, float], ...]
    arrow: bool = True
    maybe: bool = False


@attrs.define
class Box:
    """A part with its place. A box without a title has no border; the lines are those between the parts within."""

    drawing: Drawing
    title: str
    notes: tuple[str, ...]
    parts: tuple[Box, ...]
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    lines: list[Line] = attrs.field(factory=list)

    @property
    def middle(self) -> float:
        """The horizontal middle, where lines come in and go out."""
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        """The lower border."""
        return self.y + self.height

    @property
    def head(self) -> float:
        """The height of the title with the notes, and of the space above the parts."""
        return PADDING + LINE * (1 + len(self.notes)) if self.title else 0.0

    def walk(self) -> Iterator[Box]:
        """Yield the box and the boxes within, frames before their parts."""
        yield self
        for part in self.parts:
            yield from part.walk()


def abridge(drawing: Drawing, depth: int = _MOST_DEPTH) -> Drawing:
    """Return the drawing with at most 40 parts in each part and 16 levels; a box tells how many parts are left out."""
    parts = list(drawing.parts)
    if parts and depth == 0:
        return attrs.evolve(drawing, parts=(), notes=[*drawing.notes, _count_parts(len(parts), "within")])
    left_out = len(parts) - _MOST_PARTS
    if left_out > 1:
        # The end of a run tells as much as the beginning.
        half = _MOST_PARTS // 2
        parts[half : len(parts) - half] = [Drawing(_count_parts(left_out, "more"), "")]
    return attrs.evolve(drawing, parts=[abridge(part, depth - 1) for part in parts])


def _count_parts(count: int, word: str) -> str:
    return f"{count:,} {'part' if count == 1 else 'parts'} {word}"


def lay_out(drawing: Drawing) -> Box:
    """Return the drawing as boxes with places, the outermost at (0, 0)."""
    box = _measure_box(drawing)
    _place_box(box, 0.0, 0.0)
    return box


def _measure_box(drawing: Drawing) -> Box:
    """Return the box of the drawing, and the boxes within, with their sizes."""
    parts = tuple(_measure_box(part) for part in drawing.parts)
    title = cut_text(drawing.name, NAME_SIZE, _WIDEST)
    if not title and not parts:
        title = clean_text(drawing.kind) or "part"
    own = [drawing.kind if drawing.kind != title else "", *drawing.notes, state_note(drawing)]
    notes = tuple(note for note in (cut_text(each, NOTE_SIZE, _WIDEST) for each in own) if note) if title else ()
    box = Box(drawing, title, notes, parts, 0.0, 0.0)
    texts = [measure_text(title, NAME_SIZE), *(measure_text(note, NOTE_SIZE) for note in notes)]
    width, height = _measure_parts(box)
    if not title:
        box.width, box.height = width, height
    else:
        box.width = max(width, *texts) + 2 * PADDING
        box.height = box.head + (height + PADDING if parts else 0.0) + PADDING
    return box


def _measure_parts(box: Box) -> tuple[float, float]:
    """Return the width and the height of the parts together."""
    parts, form = box.parts, box.drawing.form
    if not parts:
        return 0.0, 0.0
    if form in ("series", "loop"):
        width = max(part.width for part in parts) + (2 * _BACK if form == "loop" else 0)
        return width, sum(part.height for part in parts) + _DOWN * (len(parts) - 1)
    width = sum(part.width for part in parts) + _ACROSS * (len(parts) - 1)
    return width, max(part.height for part in parts) + 2 * _fork_height(box)


def _fork_height(box: Box) -> float:
    # Without a border, only lines lead to the parts.
    return 0.0 if box.drawing.form == "parts" and box.title else _FORK


def _place_box(box: Box, x: float, y: float) -> None:
    """Give the box its place, then the parts, and draw the lines between the parts."""
    box.x, box.y = x, y
    if not box.parts:
        return
    top = y + box.head + (PADDING if box.title else 0.0)
    if box.drawing.form in ("series", "loop"):
        for part in box.parts:
            _place_box(part, box.middle - part.width / 2, top)
            top = part.bottom + _DOWN
        pairs = itertools.pairwise(box.parts)
        box.lines = [Line(((box.middle, a.bottom), (box.middle, b.y)), _begins_at_top(b)) for a, b in pairs]
        if box.drawing.form == "loop":
            box.lines.append(_lead_back(box))
        return
    width = sum(part.width for part in box.parts) + _ACROSS * (len(box.parts) - 1)
    left = box.middle - width / 2
    forks = _fork_height(box)
    for part in box.parts:
        _place_box(part, left, top + forks)
        left += part.width + _ACROSS
    if forks:
        box.lines = list(_draw_forks(box, top))


def _draw_forks(box: Box, top: float) -> Iterator[Line]:
    """Yield the lines from the middle to each part side by side, and from each part back to the middle."""
    maybe = box.drawing.form == "choice"
    # Below the tallest part, so that the way out of a short part does not run through a tall one.
    low = max(part.bottom for part in box.parts) + _FORK
    for part in box.parts:
        into = ((box.middle, top), (box.middle, top + _FORK / 2), (part.middle, top + _FORK / 2), (part.middle, part.y))
        out = ((part.middle, part.bottom), (part.middle, low - _FORK / 2), (box.middle, low - _FORK / 2))
        yield Line(into, _begins_at_top(part), maybe)
        yield Line((*out, (box.middle, low)), arrow=False, maybe=maybe)


def _begins_at_top(box: Box) -> bool:
    """Return whether a border is at the top, where an arrow may end; otherwise the lines of a fork go on from there."""
    return bool(box.title) or (box.drawing.form in ("series", "loop") and _begins_at_top(box.parts[0]))


def _lead_back(box: Box) -> Line:
    """Return the line from the last part of a loop to the first, on the right of all parts."""
    first, last = box.parts[0], box.parts[-1]
    way = box.middle + max(part.width for part in box.parts) / 2 + _BACK * 0.6
    start = (last.x + last.width, last.bottom - 10) if last.title else (last.middle, last.bottom)
    end = (first.x + first.width, first.y + 10) if first.title else (first.middle, first.y)
    return Line((start, (way, start[1]), (way, end[1]), end), bool(first.title), True)
