"""The parts of a page that commands write: each stands between two marker lines, and the rest of the page is people's.

Knows files and lines alone; what stands between the markers is the caller's.
"""

from __future__ import annotations

from pathlib import Path

from agno_rt.errors import UsageError

__all__ = ["replace_between"]


def replace_between(path: Path, name: str, text: str) -> bool:
    """Replace what stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`; tell whether the page changed.

    Each marker stands alone on its line, once. `text` is laid between them with an empty line on either side.

    Raises:
        UsageError: there is no such page, or a marker is missing, doubled or out of order.
    """
    try:
        page = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"there is no page {path}", hint="name a page that is there") from error
    lines = page.splitlines()
    begin, end = (_line_of(lines, f"<!-- {name}:{edge} -->", path) for edge in ("begin", "end"))
    if end < begin:
        raise UsageError(
            f"{path}: the marker <!-- {name}:end --> stands before <!-- {name}:begin -->",
            hint="put the beginning first",
        )
    body = text.strip("\n").splitlines()
    changed = "\n".join([*lines[: begin + 1], "", *body, *([""] if body else []), *lines[end:]]) + "\n"
    if changed != page:
        path.write_text(changed, encoding="utf-8")
    return changed != page


def _line_of(lines: list[str], marker: str, path: Path) -> int:
    found = [at for at, line in enumerate(lines) if line.strip() == marker]
    if len(found) != 1:
        raise UsageError(
            f"{path}: the marker {marker} stands there {len(found)} times, and must stand there once",
            hint=f"put the line {marker} where the written part has its edge",
        )
    return found[0]
