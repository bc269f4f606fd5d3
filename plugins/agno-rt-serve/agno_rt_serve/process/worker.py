"""The channel between a worker and its parent: the worker's end. Knows no HTTP, and nothing of other workers.

By the channel a worker gets orders, reports that it serves or waits, and learns of the parent's end.
"""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable

import attrs
import msgspec
import trio

from agno_rt.errors import UsageError
from agno_rt_serve.http.listening import Address, adopt
from agno_rt_serve.process.line_writer import share_lock
from agno_rt_serve.settings import Settings

__all__ = ["BUSY", "CLOSED", "HAND_OVER", "LINGER", "READY", "Orders", "Worker"]

READY = b"r"
BUSY = b"b"
CLOSED = b"c"
HAND_OVER = b"h"
"""From the parent: a successor serves, so stop without losing a request."""

LINGER = 2.0
"""Seconds in which a client may send one more request on a kept connection, and learn that it is the last."""

# The bound for the line of orders, in bytes.
_LONGEST = 1_000_000


@attrs.frozen
class Orders:
    """The orders of a worker: its number from 1 on, the numbers of the sockets to listen on, and the settings.

    `lock` is the number of the file to lock while a line is written; `folder` the place where workers find each other.
    `memory` is the URL of the memory in place of the project's, if not empty.
    """

    number: int
    listeners: tuple[int, ...]
    settings: Settings
    lock: int | None = None
    folder: str = ""
    memory: str = ""

    def line(self) -> bytes:
        """Return the orders as a line for the channel."""
        # base64 has no line breaks, so the orders are one line.
        return base64.b64encode(msgspec.msgpack.encode(self)) + b"\n"


class Worker:
    """This process as a worker: its `number`, its `settings`, the URL `memory`, and the parent's `listeners`.

    `channel` is the number of the socket from the parent. Raises `UsageError` for any other number.
    """

    def __init__(self, channel: int) -> None:
        try:
            os.set_inheritable(channel, False)
            self._channel = socket.socket(fileno=channel)
            line = self._channel.makefile("rb").readline(_LONGEST)
            orders = msgspec.msgpack.decode(base64.b64decode(line), type=Orders)
            self.listeners = adopt(orders.listeners)
            if orders.lock is not None:
                os.set_inheritable(orders.lock, False)
                share_lock(orders.lock)
        except (OSError, ValueError) as exc:
            hint = "To serve with several workers: --workers 2."
            raise UsageError("--worker is only for processes that `agno-rt serve --workers` starts", hint=hint) from exc
        self.number = orders.number
        self.folder = orders.folder
        self.settings = orders.settings
        self.memory = orders.memory

    def ready(self, addresses: list[Address]) -> None:
        """Tell the parent: this worker accepts requests."""
        self._tell(READY)

    def busy(self) -> None:
        """Tell the parent: this worker waits for requests under way before stopping."""
        self._tell(BUSY)

    def closed(self) -> None:
        """Tell the parent: this worker accepts no new connection any more."""
        self._tell(CLOSED)

    async def heed_parent(self, stop: Callable[[], None], hand_over: Callable[[], None]) -> None:
        """Wait for the parent's end, and `stop` then: nobody would look after this worker any more.

        If the parent says that a successor serves, `hand_over`.
        """
        self._channel.setblocking(False)
        while True:
            await trio.lowlevel.wait_readable(self._channel)
            try:
                said = self._channel.recv(1)
            except BlockingIOError:
                continue
            except OSError:
                break
            if not said:
                break
            if said == HAND_OVER:
                hand_over()
        stop()

    def _tell(self, what: bytes) -> None:
        try:
            self._channel.send(what)
        except OSError:
            return  # the parent is gone, and `outlive_parent` sees that
