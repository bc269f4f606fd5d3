"""Idempotency keys: a request that is sent again with the same key gets the run of the first request.

The keys are kept with the memory, for a day, so that they hold across workers and restarts.
https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress

import attrs
import msgspec
import trio

from agno_rt import AgnoError, Runtime
from agno_rt.memory import CacheStore
from agno_rt_serve.api.runs.background import Started
from agno_rt_serve.api.runs.named_locks import NamedLocks
from agno_rt_serve.errors import HttpError

__all__ = ["Ask", "IdempotencyKeys", "Kept", "read_key"]

KEPT_SECONDS = 86_400.0
KEEP_SECONDS = 5.0
"""Seconds to store a key after its run has begun."""

_KEY = re.compile(r'[!#-~]{1,255}|"[!#-~]{1,253}"')


class Kept(msgspec.Struct):
    """The run of a key, with the digest of the request's body, and the answer once the run is over."""

    digest: str
    run: str
    status: int = 0
    body: str = ""


@attrs.frozen
class Ask:
    """A request with a key: `name` is the key among all users and agents, `digest` stands for the body."""

    name: str
    digest: str

    @classmethod
    def of(cls, key: str, agent: str, user: str | None, body: bytes) -> Ask:
        """Return the request's key and digest. Two users, or two agents, may have the same key."""
        place = msgspec.json.encode((key, agent, user))
        return cls(f"agno-rt-serve:key:{hashlib.sha256(place).hexdigest()}", hashlib.sha256(body).hexdigest())


def read_key(header: bytes) -> str:
    """Return the key of a request. Raises `HttpError` 400 for a key with blanks, or one that is too long."""
    key = header.decode("latin-1").strip()
    if not _KEY.fullmatch(key):
        hint = "Send up to 255 visible ASCII characters, such as a UUID."
        raise HttpError(400, "invalid_key", "the Idempotency-Key is not a key", hint)
    return key.strip('"')


class IdempotencyKeys:
    """The keys of requests, in the memory of the runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._locks = NamedLocks(runtime)

    async def find_or_start(self, ask: Ask, start: Callable[[], Awaitable[Started]]) -> Started | Kept:
        """Return the run of the key, or start a run, once: of requests at the same time, one starts the run.

        Raises `HttpError` 422 for a key of another body, and the error of a run that could not begin: the key then
        stays free.
        """
        store = self._store()
        async with self._locks.hold(ask.name):
            known = await store.cached(ask.name)
            if known is not None:
                kept = msgspec.json.decode(known, type=Kept)
                if kept.digest != ask.digest:
                    hint = "Send the same body again, or another key."
                    raise HttpError(422, "key_reused", "this Idempotency-Key came with another body before", hint)
                return kept
            started = await start()
            # The run is under way, and the key must lead to it; but a memory that hangs must not keep the answer.
            with trio.move_on_after(KEEP_SECONDS, shield=True):
                await self._keep(ask.name, Kept(ask.digest, started.run))
            return started

    async def keep_answer(self, ask: Ask, run: str, status: int, body: bytes) -> None:
        """Keep the answer to the request. If the memory fails, a later request is answered by the stored run."""
        with suppress(AgnoError):
            await self._keep(ask.name, Kept(ask.digest, run, status, body.decode()))

    async def find(self, ask: Ask) -> Kept | None:
        """Return the run of the key, if there is one."""
        known = await self._store().cached(ask.name)
        return None if known is None else msgspec.json.decode(known, type=Kept)

    async def _keep(self, name: str, kept: Kept) -> None:
        await self._store().cache(name, msgspec.json.encode(kept), seconds=KEPT_SECONDS)

    def _store(self) -> CacheStore:
        memory = self._runtime.memory
        if not isinstance(memory, CacheStore):
            hint = 'Leave the header out, or use another memory: `memory = "sqlite:///agents.db"` in [runtime].'
            raise HttpError(501, "not_supported", "this server's memory does not keep idempotency keys", hint)
        return memory
