"""The errors of servers. Each names the server; the model sees the text."""

from __future__ import annotations

from agno_rt.errors import PluginError
from agno_rt.tools import ToolArgumentError

__all__ = [
    "LoginNeeded",
    "ServerError",
    "ServerLost",
    "ServerNonsense",
    "ServerRefused",
    "ServerUnavailable",
    "ToolFailed",
]


class ServerError(PluginError):
    """A fault of a server; `server` is the name."""

    def __init__(self, server: str, problem: str, *, hint: str = "") -> None:
        super().__init__(f"the MCP server {server!r} {problem}", plugin="mcp", hint=hint)
        self.server = server


class ServerUnavailable(ServerError):
    """The server cannot be reached: no start, no answer, or a wait for the next start."""


class LoginNeeded(ServerUnavailable):
    """A person has to log in at the server, with `agno-rt mcp login`."""


class ServerLost(ServerError):
    """The connection ended during a call, so nobody knows whether the call was carried out."""


class ServerNonsense(ServerError):
    """The server breaks the protocol: lines outside of the protocol, answers out of bounds, pages without an end."""


class ServerRefused(ServerError):
    """The server answered with an error of the protocol; `status` is the error's number."""

    def __init__(self, server: str, problem: str, *, status: int, hint: str = "") -> None:
        super().__init__(server, problem, hint=hint)
        self.status = status


class ToolFailed(ToolArgumentError):
    """The tool itself reports a failure. The text is the tool's, for the model."""
