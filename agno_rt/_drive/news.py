"""Tells the waiting branches of workflows that something has changed in the store, so that they look at once.

News is a hint within one runtime. Whoever waits looks into the store now and then all the same: other processes change
it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import trio

__all__ = ["News", "signal_topic"]


class News:
    """The waits under way, by topic: the id of an approval, or a run's signals."""

    __slots__ = ("_waits",)

    def __init__(self) -> None:
        self._waits: dict[str, list[trio.CancelScope]] = {}

    @contextmanager
    def waiting_for(self, topics: Iterable[str], scope: trio.CancelScope) -> Iterator[None]:
        """Let news of the topics cancel the scope of a wait, during the block."""
        topics = tuple(topics)
        for topic in topics:
            self._waits.setdefault(topic, []).append(scope)
        try:
            yield
        finally:
            for topic in topics:
                waits = self._waits[topic]
                waits.remove(scope)
                if not waits:
                    del self._waits[topic]

    def tell(self, topic: str) -> None:
        """Wake the waits for the topic."""
        for scope in self._waits.get(topic, ()):
            scope.cancel()


def signal_topic(run: str) -> str:
    """Return the topic of a run's signals."""
    return f"signals of {run}"
