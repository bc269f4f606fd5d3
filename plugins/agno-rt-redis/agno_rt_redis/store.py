"""Calls of scripts: the base of the parts of `RedisMemory`. Each call is one script, so each is one atomic step."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import attrs
import trio
from coredis.exceptions import NoScriptError, RedisError

from agno_rt.errors import BackendError
from agno_rt.memory import DamagedWarning
from agno_rt_redis.address import Address
from agno_rt_redis.link import Link
from agno_rt_redis.packing import pack

__all__ = ["CLOSE_SECONDS", "Damaged", "Script", "Store", "load_script", "read_text"]

T = TypeVar("T")

CLOSE_SECONDS = 5.0
"""How long closing waits for the server."""

LAYOUT = b"1"
"""The version of the layout of keys. There is one so far, so there is nothing to migrate."""

_UNENCODABLE = "A text has a character that is not Unicode text, such as half of a surrogate pair. Nothing was stored."
_DAMAGED = "It is damaged, others can be read: delete it, or restore the server's data from a backup."


class Damaged(Exception):
    """A stored item cannot be read; the message names the item."""


@attrs.frozen
class Script:
    """A Lua script: the text, and the hash for the server."""

    text: bytes
    sha: bytes


@cache
def load_script(*parts: str) -> Script:
    """Return the script of the parts, files in `scripts/`, between the common beginning and end."""
    folder = files("agno_rt_redis") / "scripts"
    text = b"".join((folder / f"{part}.lua").read_bytes() for part in ("begin", *parts, "end"))
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


def read_text(value: bytes | None, what: str) -> str | None:
    """Decode a stored text. Raises `Damaged` for bytes that are not UTF-8."""
    try:
        return None if value is None else value.decode()
    except UnicodeError as exc:
        raise Damaged(f"{what} cannot be read: {exc}") from exc


class Store:
    """A store in a server: the connections of each trio run, and the prefix of all keys."""

    def __init__(self, address: Address) -> None:
        self.address = address
        # The braces make all keys of a store go to one slot of a cluster.
        self._prefix = f"{{{address.prefix}}}:".encode()
        self._links: trio.lowlevel.RunVar[Link | None] = trio.lowlevel.RunVar("link", default=None)

    def _link(self) -> Link:
        link = self._links.get()
        if link is None:
            link = Link(self.address)
            self._links.set(link)
        return link

    async def _read(self, script: Script, operation: str, **arguments: Any) -> list[Any]:
        """Return the answer of an operation that changes nothing."""
        return await self._call(script, operation, arguments, b"")

    async def _write(self, script: Script, operation: str, **arguments: Any) -> list[Any]:
        """Return the answer of an operation: done once, even if the answer is lost and the operation is sent again.

        A cancellation before the sending stops the operation; a later cancellation waits.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        return await self._call(script, operation, arguments, os.urandom(12))

    async def _call(self, script: Script, operation: str, arguments: Mapping[str, Any], once: bytes) -> list[Any]:
        link, shield = self._link(), bool(once)
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            tail = b"1", self._prefix, once, operation.encode(), pack(given)
        except UnicodeError as exc:
            raise BackendError(f"{self.address}: {exc}", hint=_UNENCODABLE) from exc
        try:
            if not link.is_checked:
                await self._check_layout(link, bool(once))
            try:
                answer: list[Any] = await link.call(b"EVALSHA", script.sha, *tail, shield=shield)
            except NoScriptError:  # a new or restarted server: EVAL makes the script known
                answer = await link.call(b"EVAL", script.text, *tail, shield=shield)
        except RedisError as exc:
            raise link.explain(exc) from exc
        return answer

    async def _check_layout(self, link: Link, is_write: bool) -> None:
        """Raise `BackendError` for keys of a newer version of the plugin; mark the keys at the first write."""
        found = await link.call(b"GET", self._prefix + b"v")
        if found is None and is_write:
            await link.call(b"SET", self._prefix + b"v", LAYOUT, b"NX")
        elif found is not None and found != LAYOUT:
            problem = f"{self.address}: the keys of {self.address.prefix!r} were written by a newer agno-rt-redis"
            raise BackendError(problem, hint="Upgrade agno-rt-redis, or name another `prefix=`.")
        link.is_checked = found is not None or is_write

    async def _close_link(self) -> None:
        link = self._links.get()
        if link is not None:
            self._links.set(None)
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await link.close()
        await trio.lowlevel.checkpoint()

    def _explain_damage(self, exc: Exception) -> BackendError:
        return BackendError(f"{self.address}: {exc}", hint=_DAMAGED)

    def _read_all(self, rows: Iterable[Any], read: Callable[[Any], T]) -> list[T]:
        """Read the rows of a list; leave out damaged rows with a warning."""
        found = []
        for row in rows:
            try:
                found.append(read(row))
            except Damaged as exc:
                warnings.warn(f"{self.address}: {exc}\n{_DAMAGED}", DamagedWarning, stacklevel=4)
        return found
