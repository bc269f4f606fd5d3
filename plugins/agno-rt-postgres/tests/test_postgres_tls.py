"""TLS to a PostgreSQL server, with an authority that the tests make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_postgres.memory import PostgresMemory

from agno_rt.errors import BackendError
from agno_rt.messages import Message

Make = Callable[..., PostgresMemory]
TlsServer = tuple[int, Path]


async def test_the_right_authority(make_memory: Make, tls_server: TlsServer) -> None:
    """A server whose certificate is signed by the authority of the URL, for the host of the URL, is used."""
    port, folder = tls_server
    memory = make_memory(
        url=f"postgresql://postgres@localhost:{port}/postgres?sslmode=verify-full&sslrootcert={folder}/ca.pem"
    )
    assert await memory.append("s", [Message("user", "hi")], version=0) == 1
    assert (await memory.load("s")).messages[0].text == "hi"
    await memory.aclose()


@pytest.mark.parametrize(
    ("host", "options", "problem", "hint"),
    [
        ("localhost", "sslmode=verify-full&sslrootcert={}/other.pem", "certificate verify failed", "sslrootcert="),
        ("localhost", "sslmode=verify-ca&sslrootcert={}/missing.pem", "does not exist", "sslrootcert="),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={}/ca.pem", "does not match host name", "sslrootcert="),
        ("localhost", "sslmode=disable", "no encryption", "sslmode=verify-full"),
    ],
)
async def test_what_is_refused(
    make_memory: Make, tls_server: TlsServer, host: str, options: str, problem: str, hint: str
) -> None:
    """Another authority, a missing file, another host and a plain connection are refused, and nothing is sent."""
    port, folder = tls_server
    memory = make_memory(url=f"postgresql://postgres@{host}:{port}/postgres?{options.format(folder)}", timeout=60)
    with trio.fail_after(30), pytest.raises(BackendError, match=problem) as caught:
        await memory.append("s", [Message("user", "hi")], version=0)
    await memory.aclose()

    assert hint in caught.value.hint


async def test_tls_to_a_plain_server(make_memory: Make, own_server: Any) -> None:
    """A server without TLS is refused by a URL that demands it."""
    memory = make_memory(url=f"{own_server.url}?sslmode=require")
    with trio.fail_after(30), pytest.raises(BackendError, match="does not support SSL") as caught:
        await memory.load("s")
    await memory.aclose()

    assert caught.value.hint == "Check sslmode= in the URL, and ssl on the server."
