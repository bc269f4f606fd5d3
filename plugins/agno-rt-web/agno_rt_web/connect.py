"""Connections to checked addresses, for the pool of the HTTP library.

The pool, TLS and the server know the host by its name; the connection goes to an address that the guard allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import httpcore2
import trio

from agno_rt_web.addresses import Guard

__all__ = ["GuardedBackend"]

MOST_ADDRESSES = 4
"""The most addresses of a host to try."""


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to the addresses that a guard finds."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner = httpcore2.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that accepts. Raises as the guard does, before anything is sent."""
        addresses: list[str] = []
        with trio.move_on_after(math.inf if timeout is None else timeout):
            addresses = (await self._guard.find_addresses(host, port))[:MOST_ADDRESSES]
        if not addresses:
            raise httpcore2.ConnectTimeout("the name server did not answer")
        # The time is for all addresses together, so that a host with many dead addresses costs no more.
        share = None if timeout is None else timeout / len(addresses)
        for place, address in enumerate(addresses):
            try:
                return await self._inner.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if place == len(addresses) - 1:
                    raise
        raise AssertionError("the last address connects or raises")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: a URL does not lead to a socket of this machine."""
        raise httpcore2.ConnectError("sockets of this machine are not asked")

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await self._inner.sleep(seconds)
