"""Ids for runs: random, so that nobody can guess one, and drawn in batches, because each draw is a system call."""

from __future__ import annotations

import os

__all__ = ["new_id"]

_BYTES = 12
_BATCH = 256

_drawn: list[str] = []


def new_id() -> str:
    """A new id: 24 hexadecimal digits, 96 random bits. Any thread may ask."""
    try:
        return _drawn.pop()
    except IndexError:
        # No generator here, so that a run makes as many Python calls whether it is the one that draws or not.
        _drawn.extend(os.urandom(_BYTES * _BATCH).hex(" ", _BYTES).split())
        return new_id()


# A forked child would hand out the ids that its parent has drawn and not used yet.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)
