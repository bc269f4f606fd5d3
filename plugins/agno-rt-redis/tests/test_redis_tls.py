"""TLS to a Redis server, with an authority that the tests make."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from agno_rt_redis import make_memory

from agno_rt import Message
from agno_rt.errors import BackendError

TlsServer = tuple[int, Path]


async def test_the_right_authority(tls_server: TlsServer) -> None:
    """A server whose certificate is signed by the authority of the URL, for the host of the URL, is used."""
    port, folder = tls_server
    memory = make_memory(f"rediss://localhost:{port}?ca={folder}/ca.pem")
    assert await memory.append("s", [Message("user", "hi")], version=0) == 1
    assert (await memory.load("s")).messages[0].text == "hi"
    await memory.aclose()


@pytest.mark.parametrize("authority", ["?ca={}/other.pem&timeout=60", "?timeout=60"])
async def test_another_authority(tls_server: TlsServer, authority: str) -> None:
    """A server with a certificate of another authority is refused at once, and nothing is sent."""
    port, folder = tls_server
    memory = make_memory(f"rediss://localhost:{port}{authority.format(folder)}")
    with trio.fail_after(30), pytest.raises(BackendError, match="certificate verify failed") as caught:
        await memory.append("s", [Message("user", "hi")], version=0)
    await memory.aclose()

    assert "`ca=FILE`" in caught.value.hint


async def test_another_name(tls_server: TlsServer) -> None:
    """A certificate for another host is refused, and the error names the host."""
    port, folder = tls_server
    memory = make_memory(f"rediss://127.0.0.1:{port}?ca={folder}/ca.pem&timeout=60")
    with trio.fail_after(30), pytest.raises(BackendError, match=r"certificate is not valid for '127\.0\.0\.1'"):
        await memory.load("s")
    await memory.aclose()


async def test_without_tls(tls_server: TlsServer) -> None:
    """A server that takes TLS alone refuses a plain connection, and the error tells of `rediss://`."""
    memory = make_memory(f"redis://127.0.0.1:{tls_server[0]}?timeout=2")
    with trio.fail_after(30), pytest.raises(BackendError, match="closed the connection") as caught:
        await memory.load("s")
    await memory.aclose()

    assert "rediss://" in caught.value.hint


async def test_tls_to_a_plain_server(redis_url: str) -> None:
    """A server without TLS lets nobody connect by TLS, and the error tells of `redis://`."""
    memory = make_memory(redis_url.replace("redis://", "rediss://") + "&timeout=2")
    with trio.fail_after(30), pytest.raises(BackendError, match=r"rediss://") as caught:
        await memory.load("s")
    await memory.aclose()

    assert "redis:// for a server without TLS" in caught.value.hint
