"""The states and the floors of docs/concepts/architecture.md, drawn from the code: `make draw`.

The table of states and their picture come from `TRANSITIONS`, the table of floors from `FLOORS` and its neighbours in
tests/test_house.py; the words beside them are here. tests/test_docs.py fails when the page or the picture differs.
"""

from __future__ import annotations

from pathlib import Path

from agno_rt._decide.turns import TRANSITIONS, State, Step
from benchmarks.markers import replace_between
from tests.test_house import DOERS, DRIVERS, EDGE_OUTSIDE, EDGES, FLOORS, KERNEL, OUTSIDE

__all__ = ["PAGE", "PICTURE", "draw"]

PAGE = Path(__file__).parent / "concepts" / "architecture.md"
PICTURE = Path(__file__).parent / "images" / "states.svg"

STEPS: dict[Step, str] = {
    "calls": "a response with tool calls",
    "answer": "an answer",
    "unchecked": "an answer that fits the output type, and has a check to pass",
    "unfit": "an answer that does not fit the output type",
    "results": "the results of all calls",
    "pause": "a call that has to wait for a person",
    "passed": "the check passes the answer",
    "refused": "the check refuses the answer",
    "message": "a message that was sent to the run",
}
"""The steps in words."""

FLOOR_WORDS: dict[int, tuple[str, str]] = {
    1: ("values", "everything else"),
    2: ("contracts", "agents, runs, trio"),
    3: ("declarations", "how anything runs"),
    4: ("decisions", "trio, clocks, I/O, plugins"),
    5: ("drivers", "plugins, configuration, backends by name"),
    6: ("host", "any plugin by name"),
    7: ("runtime", "HTTP, the shell"),
    8: ("edges", "each other"),
}
"""The name of each floor, and the things that its modules must not know."""

OUTSIDE_ROW = (
    "| 9 outside | `plugins/*`, `benchmarks/`, `examples/` | their own dependencies "
    "| anything with an underscore; another plugin |"
)

PLACES: dict[State, tuple[int, int]] = {
    "calling": (100, 100),
    "asking": (360, 100),
    "checking": (620, 100),
    "paused": (100, 220),
    "completed": (360, 220),
}
"""The centre of each state's box in the picture."""

WIDTH, HEIGHT = 130, 44
"""The size of a box."""

APART = 12
"""The distance between two arrows of opposite directions and their common line, and of a label from its arrow."""


def draw(page: Path = PAGE, picture: Path = PICTURE) -> bool:
    """Write the tables into the page, and the picture. Return whether anything changed."""
    drawn = states_picture()
    is_new = not picture.exists() or picture.read_text(encoding="utf-8") != drawn
    picture.write_text(drawn, encoding="utf-8")
    changed = [replace_between(page, "states", states_table()), replace_between(page, "floors", floors_table())]
    return is_new or any(changed)


def states_table() -> str:
    """Return the transitions as a Markdown table."""
    rows = [f"| {state} | {STEPS[step]} (`{step}`) | {then} |" for (state, step), then in TRANSITIONS.items()]
    return "\n".join(["| in state | comes | then |", "|---|---|---|", *rows])


def floors_table() -> str:
    """Return the floors as a Markdown table, and the standard library modules that the lower floors may not import."""
    rows, below = [], set[str]()
    for floor, (name, unknown) in FLOOR_WORDS.items():
        modules = ", ".join(_format_module(module) for module in FLOORS if FLOORS[module] == floor)
        if floor == EDGES:
            outside = "; ".join(
                f"{_list_names(EDGE_OUTSIDE[edge] - below)} in `{edge}/`"
                for edge in sorted(EDGE_OUTSIDE)
                if EDGE_OUTSIDE[edge] - below
            )
        else:
            outside = _list_names(OUTSIDE[floor] - below)
            below |= OUTSIDE[floor]
        rows.append(f"| {floor} {name} | {modules} | {outside} | {unknown} |")
    head = "| floor | modules | from outside, besides what lower floors may | must not know |"
    doers = f"Below floor {DRIVERS} no module imports any of these from the standard library: {_list_names(DOERS)}."
    return "\n".join([head, "|---|---|---|---|", *rows, OUTSIDE_ROW, "", doers])


def states_picture() -> str:
    """Return the transitions as an SVG: a box for each state, an arrow for each step."""
    arrows = [
        _draw_loop(state, step) if state == then else _draw_arrow(state, step, then)
        for (state, step), then in TRANSITIONS.items()
    ]
    boxes = [
        f'<rect x="{x - WIDTH // 2}" y="{y - HEIGHT // 2}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text class="state" x="{x}" y="{y + 5}">{state}</text>'
        for state, (x, y) in PLACES.items()
    ]
    return "\n".join([_HEAD, *arrows, *boxes, "</svg>", ""])


def _draw_arrow(state: State, step: Step, then: State) -> str:
    """Draw a line from box to box with a label on its right, apart from an arrow that comes back."""
    (x1, y1), (x2, y2) = PLACES[state], PLACES[then]
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    right, down = (x2 - x1) / length, (y2 - y1) / length
    across = (-down * APART, right * APART)
    beside = any(pair[0] == then and back == state for pair, back in TRANSITIONS.items())
    start, end = _find_border(x1, y1, right, down), _find_border(x2, y2, -right, -down)
    line = [round(value + beside * across[at % 2]) for at, value in enumerate((*start, *end))]
    x, y = (line[0] + line[2]) / 2 + across[0], (line[1] + line[3]) / 2 + across[1]
    if abs(down) < abs(right) / 4:
        label = f'<text x="{x:.0f}" y="{y + 5:.0f}">{step}</text>'
    else:
        side = "start" if across[0] > 0 else "end"
        label = f'<text style="text-anchor:{side}" x="{x:.0f}" y="{y + 5:.0f}">{step}</text>'
    return f'<path d="M{line[0]} {line[1]} L{line[2]} {line[3]}"/>{label}'


def _draw_loop(state: State, step: Step) -> str:
    """Draw an arrow from a box to itself, above the box."""
    x, y = PLACES[state]
    top = y - HEIGHT // 2
    path = f'<path d="M{x - 25} {top} C{x - 40} {top - 50} {x + 40} {top - 50} {x + 25} {top}"/>'
    return f'{path}<text x="{x}" y="{top - 44}">{step}</text>'


def _find_border(x: float, y: float, right: float, down: float) -> tuple[float, float]:
    """Return the point where a line from the centre of a box, in the given direction, leaves the box."""
    reach = min(WIDTH / 2 / abs(right) if right else 1e9, HEIGHT / 2 / abs(down) if down else 1e9)
    return x + right * reach, y + down * reach


def _format_module(module: str) -> str:
    return f"`{module}/`" if (KERNEL / module).is_dir() else f"`{module}`"


def _list_names(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "nothing"


_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 260" role="img" aria-label="The states of a run">
<style>
text { font: 14px sans-serif; fill: #333; text-anchor: middle; } .state { font-weight: bold; }
rect { fill: #fff; stroke: #333; stroke-width: 1.5; }
path { fill: none; stroke: #666; stroke-width: 1.5; marker-end: url(#head); }
</style>
<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">
<polygon points="0,0 10,5 0,10" fill="#666"/></marker>
<polygon points="0,0 720,0 720,260 0,260" fill="#f7f7f7"/>"""

if __name__ == "__main__":
    print(f"{PAGE.name} is drawn anew." if draw() else f"{PAGE.name} is as the code has it.")
