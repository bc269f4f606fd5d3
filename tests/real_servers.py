"""The PostgreSQL and Redis servers of tests that need them: an empty place in each, removed after the test."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import trio

SERVERS = {
    "postgresql": (os.environ.get("AGNO_RT_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test"), "schema"),
    "redis": (os.environ.get("AGNO_RT_TEST_REDIS", "redis://127.0.0.1:6379/0"), "prefix"),
}


@contextmanager
def open_place(kind: str) -> Iterator[str]:
    """Yield the URL of an empty store in a server. A missing server skips the test, and fails it in CI."""
    server, option = SERVERS[kind]
    place, name = urlsplit(server), f"test_{secrets.token_hex(6)}"
    try:
        socket.create_connection((place.hostname or "127.0.0.1", place.port or 5432), timeout=3).close()
    except OSError as exc:
        variable = f"AGNO_RT_TEST_{'POSTGRES' if kind == 'postgresql' else 'REDIS'}"
        message = f"no {kind} server at {place.hostname}:{place.port} ({exc}): start one, or name it in {variable}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    yield f"{server}?{option}={name}"
    if kind == "postgresql":
        _drop_schema(server, name)
    else:
        trio.run(_delete_keys, server, name)


def _drop_schema(server: str, name: str) -> None:
    from psycopg import pq

    connection = pq.PGconn.connect(server.encode())
    connection.exec_(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'.encode())
    connection.finish()


async def _delete_keys(server: str, name: str) -> None:
    from agno_rt_redis.address import read_url
    from agno_rt_redis.link import Link

    link, cursor = Link(read_url(server)), b"0"
    while True:
        cursor, keys = await link.call(b"SCAN", cursor, b"MATCH", b"{%s}:*" % name.encode(), b"COUNT", b"10000")
        if keys:
            await link.call(b"UNLINK", *keys)
        if cursor == b"0":
            break
    await link.close()
