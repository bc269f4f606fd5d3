"""The table of routes in docs/reference/http.md, drawn from the server's own table: `make draw`."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from agno_rt_serve.api.routing import Doc, Route
from agno_rt_serve.app import App
from agno_rt_serve.settings import Settings

from agno_rt import Runtime
from agno_rt.config import Config
from agno_rt.project import Project
from benchmarks.markers import replace_between

__all__ = ["ROUTES_PAGE", "draw_routes"]

ROUTES_PAGE = Path(__file__).parent / "reference" / "http.md"

OTHERS = ("openai", "agentos", "ag-ui")
"""Groups of routes with a page, or a part of the page, of their own."""


def draw_routes(page: Path = ROUTES_PAGE) -> bool:
    """Write the table into the page. Return whether anything changed."""
    return replace_between(page, "routes", routes_table())


def routes_table() -> str:
    """Return the described routes as a Markdown table, by group."""
    # With a key, so that signing in is there.
    app = App(Project("docs", {}, Config()), Runtime(), Settings(key="k" * 20))
    rows = [
        (doc.tag or route.path.split("/")[1], f"| `{route.method} {_format_path(route, doc)}` | {doc.summary} |")
        for route in app.routes
        if (doc := route.doc) is not None and doc.tag not in OTHERS
    ]
    rows.sort(key=lambda row: row[0])
    return "\n".join(["| route | |", "|---|---|", *(row for _, row in rows)])


def _format_path(route: Route, doc: Doc) -> str:
    path = re.sub(r":path\}", "}", route.path)
    names = [] if doc.query is None else [field.encode_name for field in msgspec.structs.fields(doc.query)]
    return path + (f"?{'&'.join(f'{name}=' for name in names)}" if names else "")


if __name__ == "__main__":
    print("changed" if draw_routes() else "as it was")
