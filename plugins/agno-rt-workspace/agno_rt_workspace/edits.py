"""Edits of texts as bytes: the bytes outside of the replaced text stay as they are."""

from __future__ import annotations

import re

from agno_rt_workspace.base import WorkspaceError

__all__ = ["edit_text"]


def edit_text(data: bytes, old: str, new: str, *, every: bool = False, path: str = "the file") -> tuple[bytes, int]:
    """Replace a text that occurs once, or everywhere with `every`. Return the new content and the number of places.

    A line end of `old` fits any line end of the file, and line ends of `new` are written like the line ends around the
    place. Raises `WorkspaceError` for a missing text, a text in several places, and an edit without a change.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise WorkspaceError(f"{path} is not UTF-8 text", hint="Change it by a command.") from exc
    old, new = (part.replace("\r\n", "\n") for part in (old, new))
    if not old:
        raise WorkspaceError("the old text is empty", hint="Give the text to replace, or write the whole file.")
    if old == new:
        raise WorkspaceError("the new text is the old one", hint="Nothing was changed.")
    pattern = r"(?:\r\n|(?<!\r)\n)".join(map(re.escape, old.split("\n")))
    # Overlapping places count: a text may fit in two ways.
    places = [match.start() for match in re.finditer(f"(?={pattern})", text)]
    if not places:
        hint = "Read the file, and give the text exactly as it stands, with its spaces."
        raise WorkspaceError(f"the old text is not in {path}", hint=hint)
    if len(places) > 1 and not every:
        lines = ", ".join(str(text.count("\n", 0, at) + 1) for at in places[:10])
        hint = "Give more of the text around the place, or replace all."
        raise WorkspaceError(f"the old text is in {path} {len(places)} times, in lines {lines}", hint=hint)
    changed, count = re.subn(pattern, lambda match: _fit_ends(new, text, match), text)
    return changed.encode(), count


def _fit_ends(new: str, text: str, match: re.Match[str]) -> str:
    """Return the new text with the line ends of the place: those within, else the nearest after, else before."""
    if "\n" not in new:
        return new
    at = text.find("\n", match.start())
    at = text.rfind("\n", 0, match.start()) if at < 0 else at
    return new.replace("\n", "\r\n") if at > 0 and text[at - 1] == "\r" else new
