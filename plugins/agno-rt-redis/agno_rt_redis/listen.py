"""Waiting for messages of a Redis server, on one connection for any number of waiters.

A message only says "look again", and every waiter looks into the store. So a message lost with a connection does no
harm: at each new connection all waiters look again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import attrs
import trio
from coredis.connection import TCPConnection
from coredis.exceptions import RedisError

from agno_rt_redis.link import Link

__all__ = ["Listener", "Topic"]

IDLE_SECONDS = 5.0
"""How long the connection is kept without a waiter."""

RETRY_SECONDS = 0.2

MOST_TEXTS = 10_000
"""The texts that a topic keeps. Requests to runs of other processes are among them, and nobody takes those."""


@attrs.define(eq=False)
class Topic:
    """A channel that somebody waits for.

    Attributes:
        changed: set by the next message, or when the connection is lost; then replaced by another event
        heard: set while the server sends us the channel's messages
        texts: the texts of messages since somebody took them, for a channel with texts
    """

    waiters: int = 0
    changed: trio.Event = attrs.Factory(trio.Event)
    heard: trio.Event = attrs.Factory(trio.Event)
    texts: dict[bytes, None] = attrs.Factory(dict)

    def wake(self, text: bytes = b"") -> None:
        """Wake all waiters, and keep the text."""
        if text:
            self.texts[text] = None
            if len(self.texts) > MOST_TEXTS:
                del self.texts[next(iter(self.texts))]
        self.changed.set()
        self.changed = trio.Event()

    def lose(self) -> None:
        """Note that the connection is lost, and wake all waiters."""
        self.heard.set()
        self.heard = trio.Event()
        self.wake()


class Listener:
    """The topics of a trio run, and the connection to hear the topics' messages."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._topics: dict[bytes, Topic] = {}
        self._connection: TCPConnection | None = None
        # Subscriptions without the server's confirmation yet. A topic left and followed again has two, and the second
        # alone counts.
        self._asked: Counter[bytes] = Counter()
        # Set by a first waiter, and by the last waiter to leave.
        self._wanted, self._left = trio.Event(), trio.Event()
        self._scope: trio.CancelScope | None = None
        self._ended = trio.Event()
        self._kept: dict[bytes, Topic] = {}
        self._stack = ExitStack()

    @contextmanager
    def follow(self, channel: bytes) -> Iterator[Topic]:
        """Listen to the channel within the block."""
        topic = self._topics.get(channel)
        if topic is None:
            if not self._topics:
                self._left = trio.Event()
            topic = self._topics[channel] = Topic()
            self._subscribe(channel)
        topic.waiters += 1
        self._wanted.set()
        if self._scope is None:
            self._scope, self._ended = trio.CancelScope(), trio.Event()
            trio.lowlevel.spawn_system_task(self._run, self._scope, name="listener to Redis")
        try:
            yield topic
        finally:
            topic.waiters -= 1
            if not topic.waiters:
                del self._topics[channel]
                self._send(b"UNSUBSCRIBE", channel)
                if not self._topics:
                    self._left.set()

    def keep(self, channel: bytes) -> Topic:
        """Listen to the channel until `close`, and return its topic."""
        if channel not in self._kept:
            self._kept[channel] = self._stack.enter_context(self.follow(channel))
        return self._kept[channel]

    async def close(self) -> None:
        """Stop listening."""
        self._kept.clear()
        self._stack.close()
        if self._scope is not None:
            self._scope.cancel()
            await self._ended.wait()

    def _subscribe(self, *channels: bytes) -> None:
        self._asked.update(channels)
        self._send(b"SUBSCRIBE", *channels)

    def _send(self, command: bytes, *channels: bytes) -> None:
        if self._connection is not None and channels:
            with suppress(RedisError):  # a lost connection, and the next begins anew
                self._connection.send_command(command, *channels)

    async def _run(self, scope: trio.CancelScope) -> None:
        with scope:
            while await self._is_wanted():
                with suppress(RedisError, OSError, trio.TooSlowError):
                    async with self._link.own_connection() as connection:
                        await self._hear(connection)
                for topic in self._topics.values():
                    topic.lose()
                if self._topics:
                    await trio.sleep(RETRY_SECONDS)
        self._scope = None
        self._ended.set()

    async def _hear(self, connection: TCPConnection) -> None:
        """Pass messages on until the connection is lost, or nobody has waited for a while."""
        self._connection = connection
        try:
            self._asked.clear()
            self._subscribe(*self._topics)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, connection, nursery.cancel_scope)
                while await self._is_wanted():
                    await self._left.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._connection = None

    async def _read(self, connection: TCPConnection, scope: trio.CancelScope) -> None:
        with suppress(RedisError):
            async for message in connection.push_messages:
                self._take(message)
        scope.cancel()

    def _take(self, message: Any) -> None:
        kind, channel = message[:2]
        topic = self._topics.get(channel)
        if kind == b"subscribe":
            self._asked[channel] -= 1
            if not self._asked[channel]:
                del self._asked[channel]
                if topic is not None:
                    topic.heard.set()
        elif kind == b"message" and topic is not None:
            topic.wake(message[2])

    async def _is_wanted(self) -> bool:
        """Return True with a waiter now, or within a while."""
        if not self._topics:
            self._wanted = trio.Event()
            with trio.move_on_after(IDLE_SECONDS):
                await self._wanted.wait()
        return bool(self._topics)
