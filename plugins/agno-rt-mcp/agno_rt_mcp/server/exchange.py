"""A request of a client: the caller, what the client can do, and the end of a client that is gone."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import mcp_types as types
import trio
from mcp.server.context import ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from agno_rt.access import Access, access_of
from agno_rt.events import Event, TextDelta
from agno_rt_mcp.server.progress import describe_event

__all__ = ["GONE", "HEARTBEAT", "Exchange"]

GONE: Final = "agno_rt_mcp.gone"
"""The key of an event in a request's ASGI scope that is set when the client has hung up."""

HEARTBEAT: Final = 10.0
"""Seconds between two words of progress. Many clients give up after a minute without any."""


class Exchange:
    """A request, with the access of its caller. `local` is the access over stdio."""

    def __init__(self, context: ServerRequestContext[Any, Any], local: Access) -> None:
        scope = getattr(context.request, "scope", None)
        self.context = context
        self.access = local if scope is None else access_of(scope)
        self.is_modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
        self._gone: trio.Event | None = None if scope is None else scope.get(GONE)
        self._wants_progress = bool(context.meta) and "progress_token" in (context.meta or {})
        self._told = 0
        self._last_told = -math.inf

    @property
    def has_forms(self) -> bool:
        """Whether the client can show its user a form, and the server can send one."""
        known = self.context.session.client_capabilities
        asks = None if known is None else known.elicitation
        # A capability without a word means forms: the earlier protocol knew nothing else.
        shows = asks is not None and (asks.form is not None or asks.url is None)
        return shows and self.access.can_return and (self.is_modern or self.context.session.can_send_request)

    async def elicit(self, message: str, form: dict[str, Any]) -> types.ElicitResult:
        """Ask the user in the middle of the call, in the earlier protocol."""
        return await self.context.session.elicit_form(message, form, self.context.request_id)

    async def tell(self, path: str, event: Event) -> None:
        """Tell the client of an event, if the client wants to know."""
        if not self._wants_progress:
            return
        line = describe_event(path, event)
        # A delta a token would flood the client.
        if line is None or (isinstance(event, TextDelta) and trio.current_time() < self._last_told + 1):
            return
        await self._report(line)

    async def run(self, answer: Callable[[], Awaitable[Any]]) -> Any:
        """Return the answer; or None if the client is gone, and with the client the work. `answer` raises nothing."""
        if self._gone is None and not self._wants_progress:
            return await answer()
        found = None
        async with trio.open_nursery() as nursery:
            if self._gone is not None:
                nursery.start_soon(self._cancel_when_gone, self._gone, nursery.cancel_scope)
            if self._wants_progress:
                nursery.start_soon(self._beat)
            found = await answer()
            nursery.cancel_scope.cancel()
        return found

    async def _cancel_when_gone(self, gone: trio.Event, scope: trio.CancelScope) -> None:
        await gone.wait()
        scope.cancel()

    async def _beat(self) -> None:
        while True:
            await trio.sleep(HEARTBEAT)
            if trio.current_time() >= self._last_told + HEARTBEAT:
                await self._report("is still at work")

    async def _report(self, line: str) -> None:
        self._told += 1
        self._last_told = trio.current_time()
        await self.context.session.report_progress(self._told, message=line)
