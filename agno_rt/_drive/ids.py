"""Ids for runs: random, so that nobody can guess an id, and drawn in batches, as each draw is a system call."""

from __future__ import annotations

import os

__all__ = ["new_id"]

_BYTES = 12
_BATCH = 256

_drawn: list[str] = []


def new_id() -> str:
    """Return a new id: 24 hexadecimal digits, 96 random bits. Any thread may call this."""
    try:
        return _drawn.pop()
    except IndexError:
        # No generator: a run that draws a batch makes the same number of Python calls as any other run.
        _drawn.extend(os.urandom(_BYTES * _BATCH).hex(" ", _BYTES).split())
        return new_id()


# Otherwise a forked child would hand out the same ids as the parent.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)
