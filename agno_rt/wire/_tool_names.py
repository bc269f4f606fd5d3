"""Tool names as the chat completions format allows them, and the way back. Pure.

Reference: the OpenAI API reference, "Create chat completion", `tools`: letters, digits, underscores and hyphens, at
most 64. A server refuses the whole request for one name that is not so.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable

__all__ = ["wire_names"]

_ALLOWED = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_-]+")
_KEPT = 48


def wire_names(names: Iterable[str]) -> dict[str, str]:
    """Return the name to send for each name that cannot be sent as it is; usually there is none."""
    odd: dict[str, str] = {}
    plain: set[str] = set()
    for name in names:
        wire = _wire_name(name)
        if wire == name:
            plain.add(name)
        else:
            odd[name] = wire
    # A tool may really be called what another one's name was made into.
    while clash := [name for name, wire in odd.items() if wire in plain]:
        odd |= {name: _wire_name(f"{odd[name]} ") for name in clash}
    return odd


@functools.lru_cache(maxsize=1_000)
def _wire_name(name: str) -> str:
    """Return the name itself, or its letters with a digest behind them: the same in each request of a conversation."""
    if _ALLOWED.fullmatch(name):
        return name
    letters = _NOT_ALLOWED.sub("_", name)[:_KEPT].strip("_") or "tool"
    return f"{letters}_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
