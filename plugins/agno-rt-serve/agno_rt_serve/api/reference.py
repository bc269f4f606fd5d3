"""The OpenAPI document as a route. It is made of the tables when first asked for. Knows no agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from agno_rt_serve.api.routing import Answer, Doc, Route
from agno_rt_serve.http.asgi import Receive, Scope, Send, respond

__all__ = ["PATH", "Reference"]

PATH = "/openapi.json"

_HEADERS = [
    (b"content-type", b"application/json"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-cache"),
]
"""Unlike other answers, the document is the same for all, and may be kept if the server is asked each time."""


class Reference:
    """Serves the OpenAPI document of the server's routes, its own among them. `/docs` shows the document."""

    def __init__(self, routes: Callable[[], Sequence[Route]], *, keyed: bool) -> None:
        self._routes = routes
        self._keyed = keyed
        self._body = b""

    def routes(self) -> list[Route]:
        """Return the route."""
        answer = Answer(200, None, "The document, as OpenAPI 3.1.")
        doc = Doc("get_openapi", "Get this document", answer, tag="server", is_open=True)
        return [Route("GET", PATH, self._get, doc=doc)]

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._body:
            from agno_rt_serve.api.openapi import describe_api  # few servers are asked for the document

            document = describe_api(self._routes(), keyed=self._keyed)
            self._body = msgspec.json.format(msgspec.json.encode(document), indent=1)
        await respond(send, 200, _HEADERS, self._body)
