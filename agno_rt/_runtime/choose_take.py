"""Chooses how a run of an agent takes its turns."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from agno_rt._decide.turns import Turns
from agno_rt._drive.take_turns import take_timed_turns, take_turns
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy

__all__ = ["choose_take"]


def choose_take(
    limits: Limits, memory: MemoryPolicy, *, starts_children: bool
) -> Callable[[Any, Turns], Awaitable[None]]:
    """Return the function that takes the turns; agents with few features have the quickest one."""
    take: Callable[[Any, Turns], Awaitable[None]]
    take = take_turns if limits.turn_timeout is None else take_timed_turns
    if memory.summary is not None or memory.results is not None:
        from agno_rt._context.compact import take_compacting as take  # few agents have these
    if starts_children:
        from agno_rt._flow.children import take_with_children  # few agents start runs in the background

        take = functools.partial(take_with_children, take)
    return take
