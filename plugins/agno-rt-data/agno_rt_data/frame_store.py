"""Frames of runs and sessions: by name, bounded, and apart from each other."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from agno_rt.context import RunContext
from agno_rt.errors import suggest
from agno_rt.tools import ToolArgumentError
from agno_rt_data.frames import Frame
from agno_rt_data.settings import DataSettings

__all__ = ["FrameStore"]

MOST_SESSIONS = 100
"""The sessions whose frames are kept in memory; those of the session that was used least lately are dropped."""

Frames = dict[str, Frame]


class FrameStore:
    """Frames by the run, or by the user and the session of runs with a session."""

    def __init__(self, limits: DataSettings) -> None:
        self.limits = limits
        self._sessions: OrderedDict[tuple[str | None, str], Frames] = OrderedDict()
        # Tools run in threads.
        self._lock = threading.Lock()

    def find(self, ctx: RunContext[Any], frame: str | Mapping[str, Sequence[Any]]) -> Frame:
        """Return a frame by name, or make one of columns. Raises `ToolArgumentError`."""
        if not isinstance(frame, str):
            return self.check(frame)
        with self._lock:
            own = self._list_frames(ctx)
            if frame not in own:
                hint = (
                    suggest("frame", frame, own)
                    if own
                    else "Make it by create_dataframe: frames end with their process."
                )
                raise ToolArgumentError(f"There is no frame {frame[:100]!r}. {hint}")
            return own[frame]

    def keep(self, ctx: RunContext[Any], frame: Frame, name: str = "") -> str:
        """Keep a frame under a name, in place of the old frame, and return the name. Raises `ToolArgumentError`."""
        with self._lock:
            own = self._list_frames(ctx)
            number = len(own) + 1
            while not name or (not name.strip()):
                name = f"df{number}" if f"df{number}" not in own else ""
                number += 1
            others = {other: kept for other, kept in own.items() if other != name}
            if (
                len(others) >= self.limits.frames
                or sum(each.cells for each in others.values()) + frame.cells > self.limits.cells
            ):
                most = f"{self.limits.frames} frames and {self.limits.cells:,} cells"
                raise ToolArgumentError(
                    f"There is no room for another frame: {most} at most. Reuse a name of {sorted(own)}."
                )
            own[name] = frame
            return name

    def check(self, columns: Mapping[str, Sequence[Any]]) -> Frame:
        """Make a frame of columns. Raises `ToolArgumentError` for columns of several lengths, and too many cells."""
        lengths = {name: len(values) for name, values in columns.items()}
        if not lengths:
            raise ToolArgumentError('The data has no columns. Write {"column1": [values], "column2": [values]}.')
        if len(set(lengths.values())) > 1:
            raise ToolArgumentError(
                f"The columns have several lengths: {lengths}. Give each the same number of values."
            )
        frame = Frame({name: list(values) for name, values in columns.items()})
        if frame.cells > self.limits.cells:
            raise ToolArgumentError(f"The frame has {frame.cells:,} cells, and may have {self.limits.cells:,}.")
        return frame

    def _list_frames(self, ctx: RunContext[Any]) -> Frames:
        if ctx.session is None:
            own: Frames = ctx.kept.setdefault(self, {})
            return own
        key = (ctx.user, ctx.session)
        found = self._sessions.setdefault(key, {})
        self._sessions.move_to_end(key)
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return found
