"""The trusted certificates, loaded once and in a thread: all runs would wait for tens of milliseconds otherwise."""

from __future__ import annotations

import ssl
import threading

import httpx2
import trio

__all__ = ["load_certificates"]

_lock = threading.Lock()
_loaded: list[ssl.SSLContext] = []


async def load_certificates(url: str = "https:") -> ssl.SSLContext:
    """Return the context for connections to a URL; for http, one without certificates."""
    if not url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _loaded[0] if _loaded else await trio.to_thread.run_sync(_load)


def _load() -> ssl.SSLContext:
    # A hundred servers may be opened at once.
    with _lock:
        if not _loaded:
            _loaded.append(httpx2.create_ssl_context())
        return _loaded[0]
