"""A server over streamable HTTP: the SDK's transport over a client with bounds and with the server's headers."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import trio
from mcp.client.streamable_http import streamable_http_client

from agno_rt.http_client.transport import hide_in_logs
from agno_rt_mcp.bodies import UNPACKED, find_packing
from agno_rt_mcp.certificates import load_certificates
from agno_rt_mcp.link import Link
from agno_rt_mcp.oauth.sign import Signer
from agno_rt_mcp.settings import ServerSettings, fill_secrets

__all__ = ["open_http_streams"]

_CONNECT = 10.0  # seconds; calls have a limit, and so reading has none


@asynccontextmanager
async def open_http_streams(settings: ServerSettings, link: Link) -> AsyncIterator[Any]:
    """Yield the streams of messages of a server at a URL."""
    headers = httpx2.Headers(fill_secrets(settings.name, settings.headers))
    headers.update(UNPACKED)
    # Many servers take a key in their address.
    parts = urlsplit(settings.url)
    hide_in_logs(settings.url, parts.query, parts.password or "", loggers=["mcp.client.streamable_http"])
    timeout = httpx2.Timeout(_CONNECT, read=None)
    transport = _BoundedTransport(await load_certificates(settings.url), settings.max_message, link)
    async with trio.open_nursery() as nursery:
        auth = None
        if not settings.has_own_key:
            auth = Signer(settings, link, nursery)
            await auth.prepare()
        async with (
            httpx2.AsyncClient(headers=headers, timeout=timeout, transport=transport, auth=auth) as client,
            streamable_http_client(
                settings.url, http_client=client, max_sse_event_size=settings.max_message
            ) as streams,
        ):
            yield streams
        nursery.cancel_scope.cancel()


class _BoundedTransport(httpx2.AsyncHTTPTransport):
    """Cuts an answer above the bound, and notes the status of a refusal. The SDK reads answers whole.

    A packed answer is cut before its first byte: unpacked, a small one may have gigabytes.
    """

    def __init__(self, certificates: ssl.SSLContext, most: int, link: Link) -> None:
        super().__init__(verify=certificates)
        self._most = most
        self._link = link

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if response.status_code >= 400 and request.method == "POST":
            self._link.status = response.status_code
        is_stream = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        if packing := find_packing(response):
            # Nothing unpacks the body, and the SDK tells the reason of a failed JSON body alone.
            response.headers.pop("content-encoding")
            response.headers["content-type"] = "application/json"
        response.stream = _BoundedStream(response.stream, math.inf if is_stream else self._most, packing)
        return response


class _BoundedStream(httpx2.AsyncByteStream):
    """A body up to a size. `aclose` finishes the pool's generator: trio warns about unfinished generators."""

    def __init__(self, inner: Any, most: float, packing: str) -> None:
        self._inner = inner
        self._chunks = aiter(inner)
        self._left = most
        self._packing = packing

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._packing:
            raise httpx2.StreamError(f"the answer is packed as {self._packing!r}, which was not asked for")
        chunk: bytes = await anext(self._chunks)
        self._left -= len(chunk)
        if self._left < 0:
            raise httpx2.StreamError("the answer has more bytes than max_message")
        return chunk

    async def aclose(self) -> None:
        if (close := getattr(self._chunks, "aclose", None)) is not None:
            await close()
        await self._inner.aclose()
