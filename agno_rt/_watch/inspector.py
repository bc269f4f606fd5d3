"""The observer that answers `agno-rt top` for one runtime."""

from __future__ import annotations

from agno_rt._watch.socket import Inspection
from agno_rt.events import Event

__all__ = ["Inspector"]


class Inspector(Inspection):
    """Answers `agno-rt top` for one runtime, until it is closed. `path` is its socket.

    The observer asks for no events (`hears`), so it costs runs nothing.
    """

    hears = False

    def __call__(self, event: Event) -> None:
        """Ignore the event."""
