"""Writes a picture as SVG: text stays text, the colours follow the reader's light or dark theme, no script runs."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from agno_rt.drawing.layout import LINE, NAME_SIZE, NOTE_SIZE, PADDING, Box, Line, abridge, lay_out
from agno_rt.drawing.words import clean_text, describe_drawing
from agno_rt.runnable import Drawing

__all__ = ["render_svg"]

_MARGIN = 16

_STATES = {
    "completed": "good",
    "failed": "bad",
    "limited": "bad",
    "unfinished": "bad",
    "cancelled": "off",
    "denied": "off",
    "expired": "off",
    "answered": "good",
    "approved": "good",
    "running": "busy",
    "waiting": "wait",
    "paused": "wait",
}
"""The class of each state. The state is also written, since not everybody sees colours."""

_STYLE = f"""\
text {{ font: {NOTE_SIZE}px system-ui, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif; text-anchor: middle; }}
.back {{ fill: #fff; }} text {{ fill: #59636e; }} .name {{ fill: #1f2328; font-size: {NAME_SIZE}px; font-weight: 600; }}
.box {{ fill: #f6f8fa; stroke: #818b98; stroke-width: 1.2; }} .frame {{ fill: none; stroke: #b8bfc7; }}
.line {{ fill: none; stroke: #818b98; stroke-width: 1.2; }} .maybe {{ stroke-dasharray: 5 4; }}
.head {{ fill: #818b98; }}
.good {{ stroke: #1a7f37; }} .bad {{ stroke: #cf222e; }} .off {{ stroke: #818b98; stroke-dasharray: 4 3; }}
.busy {{ stroke: #0969da; }} .wait {{ stroke: #9a6700; }}
.box.good {{ fill: #e9f7ed; }} .box.bad {{ fill: #ffebe9; }}
.box.busy {{ fill: #e4f2ff; }} .box.wait {{ fill: #fff6d6; }}
@media (prefers-color-scheme: dark) {{
.back {{ fill: #0d1117; }} text {{ fill: #a4adb8; }} .name {{ fill: #f0f6fc; }}
.box {{ fill: #171c24; stroke: #7d8590; }} .frame {{ fill: none; stroke: #4a525c; }}
.line {{ stroke: #7d8590; }} .head {{ fill: #7d8590; }}
.good {{ stroke: #3fb950; }} .bad {{ stroke: #f85149; }} .off {{ stroke: #7d8590; }}
.busy {{ stroke: #58a6ff; }} .wait {{ stroke: #d29922; }}
.box.good {{ fill: #10291a; }} .box.bad {{ fill: #331a1c; }}
.box.busy {{ fill: #12233a; }} .box.wait {{ fill: #2e2410; }}
}}"""


_ARROW = """\
<marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<polygon class="head" points="0,1 10,5 0,9"/></marker>"""


def render_svg(drawing: Drawing) -> str:
    """Return the drawing as an SVG document. Parts beyond 40 in one part are counted, not drawn."""
    drawing = abridge(drawing)
    outer = lay_out(drawing)
    size = f"{outer.width + 2 * _MARGIN:.0f}", f"{outer.height + 2 * _MARGIN:.0f}"
    view = f"{-_MARGIN} {-_MARGIN} {size[0]} {size[1]}"
    title = clean_text(drawing.name) or clean_text(drawing.kind) or "picture"
    place = f'viewBox="{view}" width="{size[0]}" height="{size[1]}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {place} role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(describe_drawing(drawing))}</desc>',
        f"<style>\n{_STYLE}\n</style>",
        _ARROW,
        f'<rect class="back" x="{-_MARGIN}" y="{-_MARGIN}" width="{size[0]}" height="{size[1]}"/>',
    ]
    boxes = list(outer.walk())
    # Frames first and lines next, so that no border or line lies on a box.
    for box in boxes:
        if box.parts:
            lines += _draw_box(box)
    lines += [_draw_line(line) for box in boxes for line in box.lines]
    for box in boxes:
        if not box.parts:
            lines += _draw_box(box)
    return "\n".join([*lines, "</svg>", ""])


def _draw_box(box: Box) -> Iterator[str]:
    """Yield a box or a frame with its title and its notes. A frame without a title is not drawn."""
    if not box.title:
        return
    look = " ".join(filter(None, ("frame" if box.parts else "box", _STATES.get(box.drawing.state))))
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    yield f'<g><rect class="{look}" {place} rx="{6 if box.parts else 8}"/>'
    full = clean_text(box.drawing.name)
    if full and full != box.title:
        yield f"<title>{escape(full)}</title>"
    baseline = box.y + PADDING + NAME_SIZE
    yield f'<text class="name" x="{box.middle:.1f}" y="{baseline:.1f}">{escape(box.title)}</text>'
    for note in box.notes:
        baseline += LINE
        yield f'<text x="{box.middle:.1f}" y="{baseline:.1f}">{escape(note)}</text>'
    yield "</g>"


def _draw_line(line: Line) -> str:
    path = " ".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(line.points))
    look = "line maybe" if line.maybe else "line"
    return (
        f'<path class="{look}" d="{path}"{" marker-end=" + chr(34) + "url(#arrow)" + chr(34) if line.arrow else ""}/>'
    )
