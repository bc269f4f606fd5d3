"""The observers of a runtime: makes the observers of plugins, and drops failing observers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agno_rt.events import Event
from agno_rt.failures import must_pass
from agno_rt.hookspecs import Observer
from agno_rt.plugins import PluginHost

__all__ = ["Observers"]


class Observers:
    """The observers of an open runtime.

    Args:
        plugins: makes observers by name, and is told of failures
        asked: callables, and names of observing plugins

    `heard` are the observers to call with each event.
    """

    def __init__(self, plugins: PluginHost, asked: Sequence[Observer | str]) -> None:
        self.heard: tuple[Observer, ...] = ()
        self._plugins = plugins
        self._asked = asked
        self._made: list[Any] = []

    def make(self, runtime: Any) -> None:
        """Make the named observers. An observer that hears nothing is only kept for closing, and costs runs nothing."""
        for asked in self._asked:
            observer = self._plugins.observer(asked, runtime) if isinstance(asked, str) else asked
            if observer is not asked:
                self._made.append(observer)
            if getattr(observer, "hears", True):
                self.heard += (observer,)

    def tell(self, event: Event) -> None:
        """Call all observers with an event that belongs to no run."""
        for observer in self.heard:
            try:
                observer(event)
            except BaseException as exc:
                if must_pass(exc):
                    raise
                self.drop(observer, exc)

    def drop(self, observer: Observer, exc: BaseException) -> None:
        """Stop calling the observer, and report the failure."""
        self.heard = tuple(other for other in self.heard if other is not observer)
        self._plugins.observer_failed(observer, exc)

    def release(self) -> list[Any]:
        """Forget all observers, and return the observers made here, for closing."""
        made, self._made, self.heard = self._made, [], ()
        return made
