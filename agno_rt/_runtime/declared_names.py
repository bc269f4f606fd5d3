"""The runnables of a project by name: those that agno-rt.toml makes of others are built when first named."""

from __future__ import annotations

from collections.abc import Callable

from agno_rt.errors import UsageError
from agno_rt.runnable import Runnable

__all__ = ["DeclaredNames"]


class DeclaredNames:
    """The names of a project. Teams and workflows of the file may name each other, in any order.

    Args:
        runnables: the runnables that need no others; those that are built are added
    """

    def __init__(self, runnables: dict[str, Runnable]) -> None:
        self.runnables = runnables
        self._builders: dict[str, Callable[[], Runnable]] = {}
        self._under_way: list[str] = []

    def declare(self, name: str, build: Callable[[], Runnable]) -> None:
        """Add a function that builds the runnable of a name."""
        self._builders[name] = build

    def __contains__(self, name: object) -> bool:
        """Return whether there is a runnable of the name, built or not."""
        return name in self.runnables or name in self._builders

    def known(self) -> set[str]:
        """Return all names."""
        return {*self.runnables, *self._builders}

    def find(self, name: str) -> Runnable:
        """Return the runnable of a known name. Raises `UsageError` if it is within itself."""
        if name not in self.runnables:
            if name in self._under_way:
                circle = " -> ".join([*self._under_way[self._under_way.index(name) :], name])
                raise UsageError(f"{name!r} is within itself: {circle}", hint="Leave one of them out.")
            self._under_way.append(name)
            self.runnables[name] = self._builders[name]()
            self._under_way.pop()
        return self.runnables[name]

    def build_all(self) -> None:
        """Build what nothing has named yet."""
        for name in self._builders:
            self.find(name)
