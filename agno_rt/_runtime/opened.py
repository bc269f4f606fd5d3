"""Values about opened toolkits, between the resolver and the toolkits of a runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agno_rt.errors import UsageError
from agno_rt.limiter import Limiter
from agno_rt.tools import Toolkit

__all__ = ["HeldPlaces", "ToolkitsClosed"]


class ToolkitsClosed(UsageError):
    """Toolkits of an agent are not open, and their tools unknown. `toolkits` has each toolkit with its spec, or ""."""

    def __init__(self, toolkits: Mapping[Toolkit, str]) -> None:
        names = ", ".join(sorted(repr(toolkit.name) for toolkit in toolkits))
        hint = "Runs open toolkits by themselves. To open them before, `await runtime.open_tools(agent)`."
        super().__init__(f"toolkits are not open yet, and their tools unknown: {names}", hint=hint)
        self.toolkits = toolkits


class HeldPlaces(dict[str, Limiter]):
    """The limiters of an agent with opened `toolkits`. The toolkits are in use as long as a run holds this mapping."""

    __slots__ = ("__weakref__", "toolkits")
    __hash__ = object.__hash__  # type: ignore[assignment]  # a set of weak references knows the mapping by identity

    def __init__(self, places: Mapping[str, Limiter], toolkits: Collection[Toolkit]) -> None:
        super().__init__(places)
        self.toolkits = toolkits
