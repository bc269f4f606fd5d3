"""The open connections of a backend, for any number of trio runs."""

from __future__ import annotations

import re
from collections import deque

import trio

from agno_rt_postgres.connection import Connection, Lost
from agno_rt_postgres.opening import CannotConnect, open_connection
from agno_rt_postgres.urls import Settings

__all__ = ["CannotConnect", "Pool"]

_PASSING = re.compile(
    r"starting up|shutting down|recovery mode|too many (clients|connections)|remaining connection slots|refused|reset"
    r"|closed the connection|timed? ?out|timeout|unreachable|No such file|not (yet )?accept",
    re.IGNORECASE,
)
"""The words of failures to connect that may be over soon: libpq gives no code."""


class Pool:
    """Opens connections, and keeps as many as `settings.pool` for the next use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: deque[Connection] = deque()
        self._epoch = 0
        self._was_up = False

    @property
    def patience(self) -> float:
        """Seconds to try again while the server is away."""
        return self._settings.patience

    @property
    def seconds(self) -> float:
        """The most seconds for an answer of the server."""
        return self._settings.timeout

    def may_return(self, exc: Exception) -> bool:
        """Return whether the server may be back soon after this failure."""
        if isinstance(exc, Lost):
            # A server silent on a fresh connection would be silent again.
            return not exc.is_stall or exc.was_used
        return self._was_up and _PASSING.search(str(exc)) is not None

    async def take(self) -> Connection:
        """Return an open connection. Raises `CannotConnect`."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if not connection.has_ended():
                return connection
            connection.close()
        return await self.open()

    async def open(self) -> Connection:
        """Open a connection."""
        settings, seconds = self._settings, self._settings.timeout
        epoch = self._epoch
        connection: Connection | None = None
        with trio.move_on_after(seconds):
            connection = await trio.to_thread.run_sync(
                open_connection, settings, not self._was_up, abandon_on_cancel=True
            )
        if connection is None:
            raise CannotConnect(f"connecting took longer than {seconds:g} seconds: timeout")
        connection.epoch = epoch
        self._was_up = True
        return connection

    def put(self, connection: Connection) -> None:
        """Take back a connection."""
        if not connection.is_open:
            return
        if connection.epoch == self._epoch and len(self._idle) < self._settings.pool:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the connections; a connection in use is closed when put back."""
        self._epoch += 1
        while self._idle:
            self._idle.pop().close()
