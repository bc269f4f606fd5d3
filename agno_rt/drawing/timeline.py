"""Lists the parts of a run as rows of a timeline, in the order of their beginnings."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from agno_rt.drawing.words import clean_text
from agno_rt.runnable import Drawing

__all__ = ["Row", "list_rows", "render_bar"]


@attrs.frozen
class Row:
    """A row: times are seconds since the beginning of the outermost part; `None` if unknown, or not ended."""

    name: str
    depth: int
    kind: str
    state: str
    began: float | None
    ended: float | None


def list_rows(drawing: Drawing) -> list[Row]:
    """Return a row for each part with a name, parts below what they are within."""
    return list(_walk_parts(drawing, 0, drawing.began or 0.0))


def _walk_parts(drawing: Drawing, depth: int, start: float) -> Iterator[Row]:
    if drawing.name or not drawing.parts:
        name = clean_text(drawing.name) or clean_text(drawing.kind)
        times = [None if at is None else max(0.0, at - start) for at in (drawing.began, drawing.ended)]
        yield Row(name, depth, clean_text(drawing.kind), drawing.state, *times)
        depth += 1
    for part in drawing.parts:
        yield from _walk_parts(part, depth, start)


def render_bar(row: Row, total: float, width: int) -> str:
    """Return the row's time as a bar on a line of `width` cells, which stands for `total` seconds.

    A bar has at least one cell. A part that has not ended reaches the end of the line. Such a part, a question and a
    sleep have a lighter shade.
    """
    if row.began is None and row.ended is None:
        return ""
    began = row.ended if row.began is None else row.began
    is_wait = row.ended is None or row.kind in ("question", "sleep")
    ended = row.ended if row.ended is not None else total
    assert began is not None
    scale = width / total if total > 0 else 0.0
    first = min(width - 1, int(began * scale))
    last = max(first + 1, min(width, round(ended * scale)))
    return " " * first + ("░" if is_wait else "█") * (last - first)
