"""Findings for `agno-rt doctor`: servers whose command, secret or login is missing. Starts nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agno_rt.errors import ConfigError
from agno_rt.readiness import Finding
from agno_rt_mcp.oauth.store import LoginStore
from agno_rt_mcp.settings import fill_secrets, list_servers

__all__ = ["check_servers"]


def check_servers(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each named server that cannot be opened, and one for the settings if they are wrong."""
    try:
        servers = list_servers(settings)
    except ConfigError as exc:
        yield Finding("error", exc.message, exc.hint)
        return
    for server in servers.values():
        if isinstance(server, ConfigError):
            yield Finding("warning", server.message, server.hint)
            continue
        # Agents may not need the server, and so this is a warning.
        if server.command and shutil.which(server.command) is None:
            hint = "Install it, or write its whole path as the command."
            yield Finding("warning", f"the MCP server {server.name!r} needs {server.command}, which is missing", hint)
        if server.oauth.key_file and not Path(server.oauth.key_file).expanduser().is_file():
            hint = f"There is no file {server.oauth.key_file!r}: correct key_file in the server's table oauth."
            yield Finding("warning", f"the MCP server {server.name!r} has no key to log in with", hint)
        try:
            fill_secrets(server.name, {**server.env, **server.headers, "": server.oauth.client_secret})
            if server.url and server.oauth.client_id and server.oauth.grant == "code":
                login = LoginStore(server).read()
                if login is None or not login.access_token:
                    hint = f"Log in: agno-rt mcp login {server.name}"
                    yield Finding("warning", f"the MCP server {server.name!r} has no login", hint)
        except ConfigError as exc:
            yield Finding("warning", exc.message, exc.hint)
