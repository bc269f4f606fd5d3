"""The plugin `mcp`: tools of MCP servers, as toolkits that open with a runtime, and the command `agno-rt mcp`.

The protocol's SDK takes a second to import, and waits for the first server to be opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    import click

    from agno_rt.messages import Message
    from agno_rt.readiness import Finding
    from agno_rt.runtime import Runtime
    from agno_rt.tools import Toolkit
    from agno_rt_mcp.server.route import Route
    from agno_rt_mcp.settings import ServerSettings

__all__ = [
    "agno_rt_examine",
    "agno_rt_register_commands",
    "agno_rt_register_routes",
    "agno_rt_register_tools",
    "fetch_prompt",
    "make_toolkit",
]


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer the tools of every server: `mcp:NAME`, `mcp:./server.py`, `mcp:https://...`, `mcp:npx -y PACKAGE`."""
    register("*", _make_from_spec, help="The tools of an MCP server: a name, a file, a command line or a URL.")


@hookimpl
def agno_rt_register_commands(register: Register) -> None:
    """Offer `agno-rt mcp`."""
    register("mcp", _load_command, help="Tools and prompts of MCP servers, checks, logins, and a server.")


@hookimpl
def agno_rt_register_routes(register: Register) -> None:
    """Offer `/mcp`: the project's agents as tools of an MCP server."""
    register("mcp", _make_route, help="The project's agents as tools, over MCP.")


@hookimpl
def agno_rt_examine(settings: Mapping[str, Any]) -> Iterable[Finding]:
    """Tell of servers whose command, secret or login is missing."""
    from agno_rt_mcp.examine import check_servers

    return list(check_servers(settings))


def make_toolkit(server: str | ServerSettings, settings: Mapping[str, Any] | None = None) -> Toolkit:
    """Return the toolkit of a server: `Agent(tools=[make_toolkit(ServerSettings("notes", command="notes-server"))])`.

    A text is a spec without `mcp:`; `settings` is the table `[plugins.mcp]`. Nothing is started until a runtime
    opens the toolkit. Raises `ConfigError` and `NotFound` for the settings.
    """
    from agno_rt.tools import Toolkit
    from agno_rt_mcp.settings import find_server

    found = find_server(server, settings or {}) if isinstance(server, str) else server

    return Toolkit(found.name, open=lambda: _open_server(found))


async def fetch_prompt(
    server: str | ServerSettings,
    name: str,
    arguments: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[Message]:
    """Return the messages of a server's prompt, for a run: `runtime.run(agent, await fetch_prompt("notes", "daily"))`.

    The server is opened for the prompt, and closed. `server` and `settings` are as for `make_toolkit`. Raises
    `ConfigError`, `NotFound` and `ServerError`.
    """
    import importlib

    import trio

    from agno_rt_mcp.settings import find_server

    found = find_server(server, settings or {}) if isinstance(server, str) else server
    connection = await trio.to_thread.run_sync(importlib.import_module, "agno_rt_mcp.connection")
    messages: list[Message] = await connection.fetch_prompt(found, name, arguments or {})
    return messages


@asynccontextmanager
async def _open_server(settings: ServerSettings) -> AsyncIterator[Any]:
    import importlib

    import trio

    # The import of the SDK takes a second, in which the runs of the process would wait.
    connection = await trio.to_thread.run_sync(importlib.import_module, "agno_rt_mcp.connection")
    async with connection.open_server(settings) as tools:
        yield tools


def _make_from_spec(spec: str, settings: Mapping[str, Any]) -> Toolkit:
    return make_toolkit(spec, settings)


def _make_route(runtime: Runtime) -> Route:
    from agno_rt_mcp.server.route import Route
    from agno_rt_mcp.server.settings import read_serve_settings

    return Route(runtime, read_serve_settings(runtime.settings.get("mcp", {})))


def _load_command() -> click.Command:
    from agno_rt_mcp.commands import command

    return command
