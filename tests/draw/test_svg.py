"""Pictures as SVG: boxes have places of their own, text stays inside, and names cannot break the document."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import attrs
from hypothesis import example, given
from hypothesis import strategies as st

from agno_rt.drawing.svg import render_svg
from agno_rt.drawing.words import measure_text
from agno_rt.runnable import Drawing

SVG = "{http://www.w3.org/2000/svg}"
FORMS = st.sampled_from(["series", "parallel", "choice", "loop", "parts"])
STATES = st.sampled_from(["", "completed", "failed", "running", "waiting", "unfinished"])
NAMES = st.text(max_size=40) | st.sampled_from(["<b>&\"'", "WWWWWWWWWW", "서울서울서울", "a]]>b", "\ud800", "x" * 99])


def boxes(names: st.SearchStrategy[str] = NAMES) -> st.SearchStrategy[Drawing]:
    """Draw a box."""
    notes = st.lists(names, max_size=3)
    return st.builds(Drawing, name=names, kind=st.sampled_from(["agent", "step"]), notes=notes, state=STATES)


DRAWINGS = st.recursive(
    boxes(),
    lambda parts: st.builds(
        Drawing, name=NAMES, kind=st.just("group"), parts=st.lists(parts, min_size=1, max_size=5), form=FORMS
    ),
    max_leaves=25,
)
"""Trees of parts in series, side by side and in loops, with any names."""


@attrs.frozen
class Rect:
    """A rectangle of a picture, with texts as pairs of x and width."""

    left: float
    top: float
    right: float
    bottom: float
    is_frame: bool
    texts: list[tuple[float, float, float]]

    def is_apart_from(self, other: Rect) -> bool:
        """Return whether the rectangles have no point in common."""
        across = self.right <= other.left or other.right <= self.left
        return across or self.bottom <= other.top or other.bottom <= self.top

    def contains(self, other: Rect) -> bool:
        """Return whether the other rectangle lies within."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and self.right >= other.right
            and self.bottom >= other.bottom
        )


def rects(root: ET.Element) -> Iterator[Rect]:
    """Yield the boxes and frames of a picture."""
    for group in root.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        x, y, width, height = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
        texts = [
            (float(each.get("x", "")), float(each.get("y", "")), measure_text(each.text or "", _measure_size(each)))
            for each in group.iter(f"{SVG}text")
        ]
        yield Rect(x, y, x + width, y + height, "frame" in rect.get("class", "").split(), texts)


def _measure_size(text: ET.Element) -> float:
    return 14 if text.get("class") == "name" else 12


def paths(root: ET.Element) -> Iterator[list[tuple[float, float]]]:
    """Yield the points of each line of a picture."""
    for path in root.iter(f"{SVG}path"):
        numbers = [float(each.lstrip("ML")) for each in path.get("d", "").split()]
        yield list(zip(numbers[::2], numbers[1::2], strict=True))


def view(root: ET.Element) -> Rect:
    """Return the part of the plane that the picture shows."""
    x, y, width, height = map(float, root.get("viewBox", "").split())
    return Rect(x, y, x + width, y + height, True, [])


@given(DRAWINGS)
@example(Drawing("w" * 80, "agent", ["W" * 80]))
@example(Drawing(parts=[Drawing(parts=[Drawing("a"), Drawing("b")], form="parallel")], form="loop"))
def test_boxes_do_not_overlap(drawing: Drawing) -> None:
    """Two boxes have no common point; a frame contains a box or is apart from it; all lie in the view."""
    root = ET.fromstring(render_svg(drawing))
    found = list(rects(root))

    whole = view(root)
    assert all(whole.contains(each) for each in found)
    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            assert one.is_apart_from(other) or any(
                outer.is_frame and outer.contains(inner) for outer, inner in ((one, other), (other, one))
            )


@given(DRAWINGS)
def test_text_is_inside(drawing: Drawing) -> None:
    """Each line of text fits its box, between the borders and above the lower border."""
    for rect in rects(ET.fromstring(render_svg(drawing))):
        assert rect.texts
        for x, y, width in rect.texts:
            assert rect.left <= x - width / 2
            assert x + width / 2 <= rect.right
            assert rect.top < y < rect.bottom


@given(DRAWINGS)
def test_lines_run_between_boxes(drawing: Drawing) -> None:
    """No line runs through a box: the middle of each piece of a line is outside of every box."""
    root = ET.fromstring(render_svg(drawing))
    found = [each for each in rects(root) if not each.is_frame]
    for points in paths(root):
        for (x1, y1), (x2, y2) in itertools.pairwise(points):
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            assert not any(
                each.left + 0.1 < x < each.right - 0.1 and each.top + 0.1 < y < each.bottom - 0.1 for each in found
            )


@given(DRAWINGS)
def test_the_document_is_the_same_again(drawing: Drawing) -> None:
    """The same drawing gives the same bytes, so that a picture in a repository changes only with its subject."""
    assert render_svg(drawing) == render_svg(drawing)
    render_svg(drawing).encode()


def test_names_are_text() -> None:
    """A name with signs of XML is text; a cut name is whole in the tooltip; the picture has a title and a text."""
    name = "<script>alert('&')</script> " + "and so on " * 20
    root = ET.fromstring(render_svg(Drawing("outer", "team", parts=[Drawing(name, "agent"), Drawing("b")])))

    assert not list(root.iter(f"{SVG}script"))
    [tooltip] = [each.text for group in root.iter(f"{SVG}g") for each in group.iter(f"{SVG}title")]
    assert tooltip == " ".join(name.split())
    assert root.get("role") == "img"
    ids = {each.get("id"): each.text for each in root}
    assert root.get("aria-labelledby") == "title desc"
    assert ids["title"] == "outer"
    assert ids["desc"] == f"outer (team): [{tooltip} (agent), then b]"


def test_a_picture_has_both_themes() -> None:
    """A picture has colours for light and dark themes, and writes each state in words."""
    text = render_svg(Drawing("a", "step", state="failed", began=10.0, ended=12.5))

    assert "prefers-color-scheme: dark" in text
    assert 'class="box bad"' in text
    assert ">failed, 2.50 s<" in text
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_many_parts_are_counted() -> None:
    """Of a thousand parts the first and the last are drawn, and the others counted."""
    root = ET.fromstring(render_svg(Drawing("all", parts=[Drawing(f"part {at}") for at in range(1000)])))
    texts = [each.text for each in root.iter(f"{SVG}text")]

    assert len(list(rects(root))) == 42
    assert {"part 0", "part 999", "960 parts more"} <= set(texts)
    assert "part 500" not in texts


def test_deep_parts_are_counted() -> None:
    """Parts beyond sixteen levels are counted."""
    drawing = Drawing("innermost")
    for level in range(300):
        drawing = Drawing(f"level {level}", parts=[drawing])

    assert "1 part within" in render_svg(drawing)
