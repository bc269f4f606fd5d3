"""The command `agno-rt mcp serve`."""

from __future__ import annotations

import os
import sys

import click
import trio

from agno_rt.access import Access
from agno_rt.cli.options import debug_option
from agno_rt.errors import UsageError
from agno_rt.plugins import PluginHost
from agno_rt.project import Project, load_project
from agno_rt_mcp.server.settings import ServeSettings, check_skills, read_serve_settings

__all__ = ["serve"]


@click.command("serve")
@click.argument("source", metavar="[FILE | agno-rt.toml]", required=False)
@click.option("--port", type=click.IntRange(0, 65_535), help="Serve over HTTP on the port, as `agno-rt serve` does.")
@click.option("--host", help="Address to listen on, with --port. [127.0.0.1]")
@click.option("--user", metavar="NAME", help="The user of the client over stdio: the owner of sessions and facts.")
@debug_option
@click.pass_context
def serve(context: click.Context, source: str | None, port: int | None, host: str | None, user: str | None) -> int:
    """Offer the project's agents as the tools of an MCP server, over stdin and stdout.

    Editors and other MCP clients start this command. With --port, the server is that of `agno-rt serve`, with all of
    its settings, and clients connect to http://127.0.0.1:PORT/mcp. The table [plugins.mcp.serve] chooses the tools.
    """
    if port is not None:
        return _serve_http(context, source, port, host)
    if host is not None:
        raise UsageError("--host goes with --port", hint="Add --port 7777, or leave --host out.")
    from agno_rt_mcp.server.stdio import claim_stdio  # imports the SDK

    # Before the project is loaded: its modules may print.
    with claim_stdio() as wire:
        sys.path.insert(0, os.getcwd())
        project = load_project(source)
        settings = read_serve_settings(project.config.plugins.get("mcp", {}))
        if not project.runnables:
            raise UsageError(
                f"{project.source} has no agents to serve", hint="Write a table [agents.NAME] with a model."
            )
        trio.run(_serve_stdio, project, settings, wire, user)
    return 0


async def _serve_stdio(project: Project, settings: ServeSettings, wire: object, user: str | None) -> None:
    from agno_rt_mcp.server.protocol import make_server
    from agno_rt_mcp.server.stdio import Wire, serve_stdio

    assert isinstance(wire, Wire)
    local = Access()
    local.user = user
    await check_skills(settings)
    async with project.runtime() as runtime:
        server, tasks = make_server(runtime, project.runnables, settings, local)
        async with trio.open_nursery() as nursery:
            await nursery.start(tasks.live)
            await serve_stdio(server, wire, settings.max_message)
            nursery.cancel_scope.cancel()


def _serve_http(context: click.Context, source: str | None, port: int, host: str | None) -> int:
    """Run `agno-rt serve`, whose checks of keys, hosts and origins hold for its routes."""
    found = PluginHost().shared("commands", "serve")
    if found is None:
        raise UsageError("serving over HTTP needs the plugin serve", hint="Install it: pip install agno-rt-serve")
    arguments = [*([] if source is None else [source]), "--port", str(port)]
    arguments += [] if host is None else ["--host", host]
    command: click.Command = found.factory()
    with command.make_context("serve", arguments, parent=context.parent) as made:
        code: int = command.invoke(made)
        return code
