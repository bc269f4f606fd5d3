"""The route `/mcp` of `agno-rt serve`: streamable HTTP, in both eras. The SDK is imported at the first request.

The server has checked Host, Origin and the key before. Requests of the earlier protocol belong to sessions, which only
their own caller may use. With several server processes there are no sessions: the next request may reach another one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from agno_rt import Runtime
from agno_rt_mcp.server.settings import ServeSettings, check_skills

__all__ = ["Route"]


class Route:
    """The ASGI application."""

    def __init__(self, runtime: Runtime, settings: ServeSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._runnables = dict(runtime.runnables)
        self._nursery: trio.Nursery | None = None
        self._lock = trio.Lock()
        self._endpoint: Any = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Own the sessions for the life of the server. Raises `ConfigError` and `NotFound` for the settings."""
        if self._settings.agents or self._settings.tools or self._settings.tools_of:
            from agno_rt_mcp.server.offers import Offers

            Offers(self._runtime, self._runnables, self._settings)
        await check_skills(self._settings)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                yield
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        if self._endpoint is None:
            await self._start()
        await self._endpoint(scope, receive, send)

    async def _start(self) -> None:
        import importlib

        async with self._lock:
            if self._endpoint is not None:
                return
            assert self._nursery is not None, "the server opens the application before the first request"
            # The import takes a second, in which the runs of the process would wait.
            http = await trio.to_thread.run_sync(importlib.import_module, "agno_rt_mcp.server.http")
            made = http.Endpoint(self._runtime, self._runnables, self._settings)
            await self._nursery.start(made.live)
            self._endpoint = made
