"""Failures of httpx2 as `ModelError`: what happened, whether a retry may help, and the remedy."""

from __future__ import annotations

import ssl

import httpx2
import trio

from agno_rt.errors import ModelError
from agno_rt.http_client.server import HttpServer
from agno_rt.wire.refusals import Peer

__all__ = ["BEFORE", "WITHIN", "translate_failure"]

BEFORE = "before it answered"
WITHIN = "in the middle of its answer"
"""The phases of an exchange."""

# The first matching row counts, so subclasses stand before their base classes.
_FAILURES: tuple[tuple[type[Exception], str, bool, str], ...] = (
    (httpx2.ConnectTimeout, "did not accept a connection at {url} within {connect:g} s", True, "running"),
    (httpx2.ConnectError, "cannot be reached at {url}: {text}", True, "running"),
    (httpx2.ReadTimeout, "stalled: nothing came for {read:g} s {phase}", True, "patience"),
    (httpx2.WriteTimeout, "stalled: it accepted nothing of the request for {read:g} s", True, "patience"),
    (httpx2.NetworkError, "dropped the connection {phase}: {text}", True, ""),
    (httpx2.RemoteProtocolError, "broke the connection off, or does not speak HTTP, {phase}: {text}", True, ""),
    (httpx2.ProxyError, "cannot be reached, because the proxy refused: {text}", True, "proxy"),
    (Exception, "cannot be asked at {url}: {text}", False, "running"),
)
_HINTS = {
    "": "",
    "running": "Is the server running at {url}? base_url says where it is.",
    "patience": "If the model needs longer, raise read_timeout.",
    "proxy": "Check the proxy's address: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, or the setting proxy.",
    "tls": "Check that the server speaks https, and that this machine trusts its certificate (SSL_CERT_FILE, ca_file).",
}
_UNDERLYING = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


def translate_failure(exc: Exception, peer: Peer, server: HttpServer, phase: str) -> ModelError:
    """Return the error for a failure in the given phase of an exchange with the server."""
    problem, retryable, hint = next(row[1:] for row in _FAILURES if isinstance(exc, row[0]))
    cause = _find_cause(exc)
    # A wrong certificate, or a server without TLS, stays wrong: a retry cannot help.
    if isinstance(cause, ssl.SSLError):
        retryable, hint = False, "tls"
    text = str(cause) or str(exc) or type(exc).__name__
    facts = {"url": peer.url, "connect": server.connect_timeout, "read": server.read_timeout, "phase": phase}
    return peer.error(problem.format(text=text, **facts), hint=_HINTS[hint].format(**facts), retryable=retryable)


def _find_cause(exc: BaseException) -> BaseException:
    """Return the first cause: the operating system's error says more than the libraries' errors above."""
    while True:
        below = exc.exceptions[0] if isinstance(exc, BaseExceptionGroup) else exc.__cause__
        # httpcore2 keeps the original error as context only; any other context may be unrelated.
        if below is None and isinstance(exc.__context__, _UNDERLYING):
            below = exc.__context__
        if below is None:
            return exc
        exc = below
