"""Parts of a page that commands write: each lies between two marker lines, and people write the rest of the page.

Knows only files and lines; callers know the contents.
"""

from __future__ import annotations

from pathlib import Path

from agno_rt.errors import UsageError

__all__ = ["read_between", "replace_between"]


def read_between(path: Path, name: str) -> str:
    """Return the lines between the markers of the name. Raises `UsageError` for a missing page or marker."""
    return "\n".join(_find_part(path, name)[1]).strip("\n")


def replace_between(path: Path, name: str, text: str) -> bool:
    """Replace the lines between `<!-- NAME:begin -->` and `<!-- NAME:end -->`. Return whether the page changed.

    Each marker is alone on its line, once. `text` gets an empty line on either side.

    Raises:
        UsageError: there is no such page, or a marker is missing, doubled or out of order.
    """
    before, part, after = _find_part(path, name)
    body = text.strip("\n").splitlines()
    changed = "\n".join([*before, "", *body, *([""] if body else []), *after]) + "\n"
    if changed != "\n".join([*before, *part, *after]) + "\n":
        path.write_text(changed, encoding="utf-8")
        return True
    return False


def _find_part(path: Path, name: str) -> tuple[list[str], list[str], list[str]]:
    """Return the lines up to the first marker, those between the markers, and those from the second marker on."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise UsageError(f"there is no page {path}", hint="name a page that is there") from error
    begin, end = (_find_line(lines, f"<!-- {name}:{edge} -->", path) for edge in ("begin", "end"))
    if end < begin:
        raise UsageError(
            f"{path}: the marker <!-- {name}:end --> stands before <!-- {name}:begin -->",
            hint="put the beginning first",
        )
    return lines[: begin + 1], lines[begin + 1 : end], lines[end:]


def _find_line(lines: list[str], marker: str, path: Path) -> int:
    found = [at for at, line in enumerate(lines) if line.strip() == marker]
    if len(found) != 1:
        raise UsageError(
            f"{path}: the marker {marker} stands there {len(found)} times, and must stand there once",
            hint=f"put the line {marker} where the written part has its edge",
        )
    return found[0]
