"""Converts tool names to names that the chat completions format allows. Pure: no I/O.

Reference: the OpenAI API reference, "Create chat completion", `tools`: at most 64 letters, digits, underscores and
hyphens. A server refuses the whole request because of one bad name.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable

__all__ = ["wire_names"]

_ALLOWED = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_-]+")
_KEPT = 48  # letters; with `_` and 8 digits of the digest, a name stays below 64


def wire_names(names: Iterable[str]) -> dict[str, str]:
    """Map each name that cannot be sent to a name to send instead; usually an empty dict."""
    odd: dict[str, str] = {}
    plain: set[str] = set()
    for name in names:
        wire = _make_wire_name(name)
        if wire == name:
            plain.add(name)
        else:
            odd[name] = wire
    # A tool may have the very name that another tool's name was converted to.
    while clash := [name for name, wire in odd.items() if wire in plain]:
        # The space is not allowed in a name, so the next name gets a new digest.
        odd |= {name: _make_wire_name(f"{odd[name]} ") for name in clash}
    return odd


@functools.lru_cache(maxsize=1_000)
def _make_wire_name(name: str) -> str:
    """Return an allowed name unchanged; else its letters and a digest, the same in each request of a conversation."""
    if _ALLOWED.fullmatch(name):
        return name
    letters = _NOT_ALLOWED.sub("_", name)[:_KEPT].strip("_") or "tool"
    return f"{letters}_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
