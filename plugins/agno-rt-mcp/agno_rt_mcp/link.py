"""The state of a connection, shared by the transport and the owner."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import trio

from agno_rt_mcp.errors import ServerError
from agno_rt_mcp.lists import Lists

__all__ = ["Link", "Using"]

Using: TypeAlias = Callable[[str], AbstractAsyncContextManager[tuple[Any, Lists]]]
"""Yields the open client and the lists for one request, named for errors."""


class Link:
    """One connection. `failure` is the reason of a loss; closing the connection is not a loss.

    `status` is the last HTTP status of a server that refuses, and `refusal` the reason if a login would help.
    """

    def __init__(self) -> None:
        self.lost = trio.Event()
        self.failure: ServerError | None = None
        self.status: int | None = None
        self.refusal: ServerError | None = None
        self.is_closing = False

    def lose(self, failure: ServerError) -> None:
        """Note the first failure."""
        if self.failure is None and not self.is_closing:
            self.failure = failure
        self.lost.set()
