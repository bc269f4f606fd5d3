"""Parts of a page that commands write: each lies between two marker lines, and people write the rest of the page.

Knows only files and lines; callers know the contents.
"""

from __future__ import annotations

from pathlib import Path

from agno_rt.errors import UsageError

__all__ = ["replace_between"]


def replace_between(path: Path, name: str, text: str) -> bool:
    """Replace the lines between `<!-- NAME:begin -->` and `<!-- NAME:end -->`. Return whether the page changed.

    Each marker is alone on its line, once. `text` gets an empty line on either side.

    Raises:
        UsageError: there is no such page, or a marker is missing, doubled or out of order.
    """
    try:
        page = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"there is no page {path}", hint="name a page that is there") from error
    lines = page.splitlines()
    begin, end = (_find_line(lines, f"<!-- {name}:{edge} -->", path) for edge in ("begin", "end"))
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


def _find_line(lines: list[str], marker: str, path: Path) -> int:
    found = [at for at, line in enumerate(lines) if line.strip() == marker]
    if len(found) != 1:
        raise UsageError(
            f"{path}: the marker {marker} stands there {len(found)} times, and must stand there once",
            hint=f"put the line {marker} where the written part has its edge",
        )
    return found[0]
