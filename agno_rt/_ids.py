"""Ids for runs: random, so that nobody can guess one, and drawn in batches, because each draw is a system call."""

from __future__ import annotations

import os

__all__ = ["new_id"]

_BYTES = 12
_BATCH = 256

_drawn: list[str] = []


def new_id() -> str:
    """A new id: 24 hexadecimal digits, 96 random bits. Any thread may ask."""
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            digits = os.urandom(_BYTES * _BATCH).hex()
            _drawn.extend(digits[at : at + 2 * _BYTES] for at in range(0, len(digits), 2 * _BYTES))


# A forked child would hand out the ids that its parent has drawn and not used yet.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)
