"""The errors of a failed opening, and of a lost connection: each names the server, and the reason if it is known."""

from __future__ import annotations

import logging

import anyio
import httpx2
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from agno_rt.errors import ConfigError
from agno_rt.failures import leaves, text_of
from agno_rt_mcp.errors import ServerError, ServerLost, ServerNonsense, ServerUnavailable
from agno_rt_mcp.link import Link

__all__ = ["explain_loss", "shorten"]

log = logging.getLogger("agno_rt_mcp")


def explain_loss(name: str, exc: BaseException, link: Link) -> ServerError:
    """Return the error of a failed opening or of a lost connection of the named server."""
    causes = list(leaves(exc))
    own = next((each for each in causes if isinstance(each, ServerError | ConfigError)), None)
    if own is not None:
        return own if isinstance(own, ServerError) else _explain_unset(name, own)
    if link.failure is not None:
        return link.failure
    first = causes[0]
    if link.status in (401, 403):
        hint = 'Give it a header: headers = {Authorization = "Bearer ${TOKEN}"}.'
        problem = f"answered {link.status}: it does not let this client in"
        return link.refusal or ServerUnavailable(name, problem, hint=hint)
    if isinstance(first, MCPError):
        said = f"{first.error.message} ({first.error.code})"
        how = f"answered HTTP {link.status}: " if link.status is not None else "refused to be opened: "
        return ServerUnavailable(name, how + said)
    if isinstance(first, httpx2.TransportError):
        return ServerUnavailable(name, f"cannot be reached: {text_of(first) or type(first).__name__}")
    return _explain_fault(name, first)


def _explain_unset(name: str, exc: ConfigError) -> ServerUnavailable:
    """Return the error of a variable in `env` or `headers` that is not set."""
    return ServerUnavailable(name, exc.message.removeprefix(f"the MCP server {name!r} "), hint=exc.hint)


def _explain_fault(name: str, exc: BaseException) -> ServerError:
    if isinstance(exc, ValidationError):
        return ServerNonsense(name, f"broke the protocol: {shorten(exc)}")
    if not isinstance(exc, anyio.ClosedResourceError | anyio.BrokenResourceError | anyio.EndOfStream):
        log.warning("the connection to %r failed", name, exc_info=exc)
    return ServerLost(name, f"was lost: {type(exc).__name__} {text_of(exc)}".rstrip())


def shorten(exc: BaseException) -> str:
    """Return the error's text on one short line."""
    return " ".join(text_of(exc).split())[:300]
