"""Makes the observers of a runtime from their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agno_rt.hookspecs import Observer
from agno_rt.plugins import PluginHost

__all__ = ["make_observers"]


def make_observers(
    asked: Sequence[Observer | str], plugins: PluginHost, runtime: Any, made: list[Any]
) -> tuple[Observer, ...]:
    """Return the observers that hear events, and add those made here to `made`, to be closed with the runtime.

    An observer that hears nothing is only kept for closing, and costs runs nothing.
    """
    hearing: list[Observer] = []
    for each in asked:
        observer = plugins.observer(each, runtime) if isinstance(each, str) else each
        if observer is not each:
            made.append(observer)
        if getattr(observer, "hears", True):
            hearing.append(observer)
    return tuple(hearing)
