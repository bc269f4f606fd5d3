"""A pooled HTTP client for one server: bounded, opened by the first request, closed and opened again at will.

httpx2 is imported with the first request.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from agno_rt.http_client.server import HttpServer
from agno_rt.limiter import Limiter
from agno_rt.limits import LimitStatistics
from agno_rt.wire.refusals import Peer

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer, Transport

__all__ = ["Exchange", "HttpClient"]

_Sent: TypeAlias = tuple[str, str, bytes, Mapping[str, str], Peer]
"""The method, the address, the body and the headers of a request, and the server for errors."""


class HttpClient:
    """The client of a server: `async with client.post(url, body, headers, peer) as answer`.

    At most `max_connections` exchanges are in progress; more wait, and beyond `max_waiting` they are refused with
    `Overloaded`. `provider` names the limit, and `user_agent` the program. `aclose` closes the connections, and a later
    request opens new ones. Make one client for each model.
    """

    def __init__(self, server: HttpServer, provider: str, user_agent: str) -> None:
        self.server = server
        self._user_agent = user_agent
        self._places = Limiter(f"{provider} max_connections", server.max_connections, server.max_waiting)
        self._transport: Transport | None = None

    def post(self, url: str, body: bytes, headers: Mapping[str, str], peer: Peer) -> Exchange:
        """Return the exchange that sends the body to the address and gives the answer, whatever its status.

        Entering raises `ModelError` for every failure of the connection, `Overloaded` if too many requests wait, and
        `ConfigError` for unusable certificates and for HTTP/2 without the package h2. The headers' names are in small
        letters. `peer` is the server for errors.
        """
        return Exchange(self, ("POST", url, body, headers, peer))

    def get(self, url: str, headers: Mapping[str, str], peer: Peer) -> Exchange:
        """Return the exchange that asks for the address; otherwise as `post`."""
        return Exchange(self, ("GET", url, b"", headers, peer))

    def request(self, method: str, url: str, body: bytes, headers: Mapping[str, str], peer: Peer) -> Exchange:
        """Return the exchange of any other method, such as `PUT`; otherwise as `post`."""
        return Exchange(self, (method, url, body, headers, peer))

    async def warm(self, peer: Peer) -> None:
        """Open a connection ahead of the first request, with certificates and handshakes. Sends no key.

        Raises as an exchange does. Any answer of the server is good, because a request without a key may be refused.
        """
        async with Exchange(self, ("HEAD", self.server.base_url, b"", {}, peer)) as answer:
            await answer.read_error()

    async def aclose(self) -> None:
        """Close the connections. A running request fails."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of connections in use and of requests waiting for a connection."""
        return (self._places.statistics(),)

    async def _begin(self, sent: _Sent) -> Answer:
        await self._places.acquire()
        try:
            if self._transport is None:
                from agno_rt.http_client.transport import Transport

                self._transport = Transport(self.server, self._user_agent)
            return await self._transport.send(*sent)
        except BaseException:
            self._places.release()
            raise

    async def _finish(self, answer: Answer) -> None:
        try:
            await answer.aclose()
        finally:
            self._places.release()


class Exchange:
    """A request and its answer, as a context manager: leaving it returns or closes the connection."""

    __slots__ = ("_answer", "_client", "_sent")

    def __init__(self, client: HttpClient, sent: _Sent) -> None:
        self._client = client
        self._sent = sent

    async def __aenter__(self) -> Answer:
        self._answer = await self._client._begin(self._sent)
        return self._answer

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client._finish(self._answer)
