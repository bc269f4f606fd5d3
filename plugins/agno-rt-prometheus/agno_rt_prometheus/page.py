"""The route /metrics: an ASGI application. Knows no server."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from prometheus_client import generate_latest, make_asgi_app

from agno_rt import Runtime
from agno_rt_prometheus.merge import fold_ended, merge
from agno_rt_prometheus.metrics import known

__all__ = ["Page"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_NOT_OBSERVED = {
    "error": {
        "code": "not_found",
        "message": "this runtime's runs are not counted",
        "hint": 'Write observers = ["prometheus"] into [runtime] of agno-rt.toml.',
    }
}


class Page:
    """A page with the metrics in the runtime's registry, in the client's preferred format."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request. The page of an unobserved runtime is missing, because a page of zeros would mislead."""
        metrics = known(self._runtime)
        if metrics is not None:
            # A server of several workers lets one ask the others: a scrape is about all of them.
            siblings = scope.get("state", {}).get("siblings")
            registry = metrics.registry
            if siblings is not None:
                own = generate_latest(registry)
                if others := await siblings.collect(scope, "/metrics", fold_ended, own):
                    registry = merge([own, *others])
            await make_asgi_app(registry)(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(_NOT_OBSERVED).encode()})
