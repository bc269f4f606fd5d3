"""The lists of one open connection: all pages of each list, and the time for which the server says a list holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from agno_rt_mcp.errors import ServerNonsense
from agno_rt_mcp.settings import ServerSettings

__all__ = ["Lists"]

MOST_TTL_MS = 86_400_000
"""A day: a longer time may not even fit a float."""


class Lists:
    """The lists of a connection. A list holds for the server's TTL (protocol 2026-07-28), or until a change is told."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._kept: dict[str, tuple[float, list[Any]]] = {}

    async def fetch(self, what: str, list_page: Callable[..., Awaitable[Any]]) -> list[Any]:
        """Return the entries of a list, without a request while the list holds. Raises `ServerNonsense`."""
        until, entries = self._kept.get(what, (0.0, []))
        if trio.current_time() < until:
            return entries
        entries, seconds = await self.list_pages(what, list_page)
        if seconds:
            self._kept[what] = (trio.current_time() + seconds, entries)
        return entries

    def forget(self) -> None:
        """Fetch all lists anew when they are needed."""
        self._kept.clear()

    async def list_pages(self, what: str, list_page: Callable[..., Awaitable[Any]]) -> tuple[list[Any], float]:
        """Return the entries of all pages, and the seconds for which they hold. Raises `ServerNonsense`."""
        found: list[Any] = []
        seen: set[str] = set()
        cursor: str | None = None
        seconds: list[float] = []
        for _ in range(self._settings.max_pages):
            page = await list_page(cursor=cursor)
            found += getattr(page, what)
            seconds.append(min(page.ttl_ms, MOST_TTL_MS) / 1000)
            if (cursor := page.next_cursor) is None:
                return found, min(seconds)
            if cursor in seen:
                problem = f"lists its {what} without an end: the page {cursor!r:.60} comes again"
                raise ServerNonsense(self._settings.name, problem)
            seen.add(cursor)
        hint = "Raise max_pages if the server really has so many."
        problem = f"has more than max_pages, {self._settings.max_pages} pages of {what}"
        raise ServerNonsense(self._settings.name, problem, hint=hint)
