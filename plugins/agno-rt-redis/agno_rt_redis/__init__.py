"""The plugin `redis`: sessions, runs, facts, cached answers and locks in a Redis server that many processes share.

`redis://HOST:PORT/DB` and, with TLS, `rediss://HOST:PORT/DB` are URLs of `memory`. The driver is imported at first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt_redis.knowledge import RedisKnowledge
    from agno_rt_redis.memory import RedisMemory

__all__ = ["agno_rt_register_knowledge", "agno_rt_register_memory", "make_knowledge", "make_memory"]


@hookimpl
def agno_rt_register_memory(register: Register) -> None:
    """Offer `redis://HOST` and `rediss://HOST`."""
    register("redis", make_memory, help="Sessions, runs and facts in a Redis server.")
    register("rediss", make_memory, help="Sessions, runs and facts in a Redis server, over TLS.")


@hookimpl
def agno_rt_register_knowledge(register: Register) -> None:
    """Offer `redis://HOST` and `rediss://HOST` for knowledge."""
    register("redis", make_knowledge, help="Knowledge in a Redis server: words, and vectors from Redis 8 on.")
    register("rediss", make_knowledge, help="Knowledge in a Redis server, over TLS.")


def make_knowledge(url: str, settings: Mapping[str, Any] | None = None) -> RedisKnowledge:
    """Make the knowledge of a `redis://` or `rediss://` URL; nothing is connected yet. Raises `UsageError`."""
    from agno_rt_redis.address import read_url
    from agno_rt_redis.knowledge import RedisKnowledge

    return RedisKnowledge(read_url(url))


def make_memory(url: str, settings: Mapping[str, Any] | None = None) -> RedisMemory:
    """Make the memory of a `redis://` or `rediss://` URL; nothing is connected yet. Raises `UsageError` for the URL."""
    from agno_rt_redis.address import read_url
    from agno_rt_redis.memory import RedisMemory

    return RedisMemory(read_url(url))
