"""Ids for runs: nobody can guess an id, and a store finds the ids of one time side by side.

Drawn in batches, as each draw is a system call. The last 16 digits are random: 64 bits. The first six are the number of
the batch, which follows the clock; the next two count within it. A store sorts by ids: the journals of runs under way
then share pages of the file, and a write of a hundred of them takes half the processor time.
"""

from __future__ import annotations

import os
import time

__all__ = ["new_id"]

_BYTES = 12
_BATCH = 256
_TICK = 2**28
"""Nanoseconds for each batch number, a quarter of a second: 24 bits last for 52 days. Then places in a file repeat."""

_drawn: list[str] = []
_last_batch = 0


def new_id() -> str:
    """Return a new id: 24 hexadecimal digits, of which the last 16 are random. Any thread may call this."""
    try:
        return _drawn.pop()
    except IndexError:
        global _last_batch  # noqa: PLW0603 - two threads that draw at once at worst share a number
        _last_batch = max(_last_batch + 1, time.time_ns() // _TICK)
        drawn = bytearray(os.urandom(_BYTES * _BATCH))
        # From a random number on: the ids of two programs that begin at once differ in their first eight digits.
        start = drawn[3]
        # In whole columns: a run that draws a batch makes as many calls as any other run.
        for place, byte in enumerate((_last_batch & 0xFFFFFF).to_bytes(3, "big")):
            drawn[place::_BYTES] = bytes((byte,)) * _BATCH
        drawn[3::_BYTES] = _DOWN[_BATCH - 1 - start :] + _DOWN[: _BATCH - 1 - start]
        _drawn.extend(drawn.hex(" ", _BYTES).split())
        return new_id()


_DOWN = bytes(range(_BATCH - 1, -1, -1))
"""The numbers within a batch, from the last to the first: ids are taken from the end."""


# Otherwise a forked child would hand out the same ids as the parent.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)
