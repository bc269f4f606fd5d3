"""Health for whoever watches the server: `live` while the process answers, `ready` while it can take runs."""

from __future__ import annotations

from typing import Literal

import msgspec

from agno_rt import Runtime
from agno_rt.readiness import check_ready
from agno_rt_serve import log
from agno_rt_serve.api.routing import Answer, Doc, Route
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["OPEN", "Health"]

OPEN = frozenset({"/health", "/health/live", "/health/ready"})
"""The paths, open without a key: probes have none."""


class Alive(msgspec.Struct):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct):
    """The server takes runs (`ok`), is stopping, or cannot reach its memory. The server's log says why."""

    status: Literal["ok", "stopping", "memory"]


_LIVE = Doc("get_live", "See whether the process answers", Alive, tag="server", is_open=True)
_HEALTH = Doc("get_health", "See whether the process answers", Alive, tag="server", is_open=True)
_READY = Doc(
    "get_ready",
    "See whether the server takes runs",
    (Answer(200, Readiness), Answer(503, Readiness, "Send requests to another server.")),
    tag="server",
    is_open=True,
)


class Health:
    """Answers probes."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._alive = msgspec.json.encode(Alive())

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/health", self._get_live, doc=_HEALTH),
            Route("GET", "/health/live", self._get_live, doc=_LIVE),
            Route("GET", "/health/ready", self._get_ready, doc=_READY),
        ]

    async def _get_live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, JSON, self._alive)

    async def _get_ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The server's own word: it still answers while load balancers turn away. Other servers have none.
        stopping = scope.get("state", {}).get("stopping")
        is_stopping = stopping is not None and stopping.is_set()
        state = Readiness("stopping") if is_stopping else await self._find_state()
        await respond(send, 200 if state.status == "ok" else 503, JSON, msgspec.json.encode(state))

    async def _find_state(self) -> Readiness:
        for finding in await check_ready(self._runtime):
            if finding.level == "error":
                log.write("error", "not ready", reason=finding.message)
                return Readiness("memory")
        return Readiness("ok")
