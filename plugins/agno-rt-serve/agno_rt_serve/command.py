"""The command `agno-rt serve`: from what was typed to a server that runs until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import click
import trio

from agno_rt import AgnoError, Runtime
from agno_rt.config import read_settings
from agno_rt.defaults.inspect import inspect
from agno_rt.errors import UsageError
from agno_rt.project import Project, load_project
from agno_rt_serve.app import App
from agno_rt_serve.connection import AccessLog
from agno_rt_serve.guard import is_loopback
from agno_rt_serve.protocol import Request
from agno_rt_serve.server import Server
from agno_rt_serve.settings import Settings

__all__ = ["serve"]


@click.command()
@click.argument("source", metavar="[FILE | agno-rt.toml]", required=False)
@click.option("--host", help="Address to listen on. [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0 takes a free one. [7777]")
@click.option("--grace", type=click.FloatRange(0), help="Seconds that running requests get to end in. [10]")
@click.option("--access-log", is_flag=True, default=None, help="Log a line for each request.")
def serve(source: str | None, **options: Any) -> None:
    """Serve agents over HTTP, with a page to chat with them.

    The agents are those of FILE (a Python file, an import path or a .toml), else of the agno-rt.toml in this folder,
    else the two that ship. The table [plugins.serve] has more settings; options here stand above it.
    """
    # As `python` does it: modules in this folder can be named here, and imported by an agents.py.
    sys.path.insert(0, os.getcwd())
    project = load_project(source)
    if not project.agents:
        raise UsageError(f"{project.source} has no agents to serve", hint="Write a table [agents.NAME] with a model.")
    settings = read_settings(Settings, project.config.plugins.get("serve", {}), "[plugins.serve]")
    given = {name: value for name, value in options.items() if value is not None}
    trio.run(_serve, project, attrs.evolve(settings, **given))


async def _serve(project: Project, settings: Settings) -> None:
    async with project.runtime() as runtime, _inspected(project, runtime, settings):
        _check_agents(project, runtime)
        app = App(project, runtime, settings)
        log = _access_log() if settings.access_log else None
        server = Server(app, settings, cancel_runs=app.cancel_runs, access_log=log)
        failure: AgnoError | None = None
        async with trio.open_nursery() as nursery:
            await nursery.start(_obey_signals, server)
            try:
                await server.serve(announce=partial(_announce, project, settings))
            except AgnoError as exc:
                failure = exc  # raised outside of the nursery, which would wrap it
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


@asynccontextmanager
async def _inspected(project: Project, runtime: Runtime, settings: Settings) -> AsyncIterator[None]:
    """Let `agno-rt top` ask what the runtime does. Where that cannot be, it is said, and the server serves."""
    config, inspector = project.config.runtime, None
    if settings.inspect and "inspect" not in (*config.observers, *config.block):
        try:
            inspector = inspect(runtime)
        except AgnoError as exc:
            click.echo(f"warning: `agno-rt top` cannot ask this server: {exc.message}", err=True)
    try:
        yield
    finally:
        if inspector is not None:
            inspector.close()


async def _obey_signals(server: Server, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        told = False
        async for _ in signals:
            if told:
                server.abort()
                return
            told = True
            server.stop()
            if server.busy:
                click.echo("Stopping: waiting for running requests. Once more stops at once.", err=True)


def _check_agents(project: Project, runtime: Runtime) -> None:
    """Say which agents cannot run as they stand. Raises the last one's error where none can."""
    broken = 0
    for name, agent in project.agents.items():
        try:
            runtime.check(agent)
        except AgnoError as exc:
            broken += 1
            if broken == len(project.agents):
                raise
            click.echo(f"warning: the agent {name!r} cannot run: {exc.message} {exc.hint}".rstrip(), err=True)


def _announce(project: Project, settings: Settings, addresses: list[tuple[str, int]]) -> None:
    port = addresses[0][1]
    # What listens everywhere is reached under this machine's own name.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(settings.host, settings.host)
    url = f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{port}"
    names = list(project.agents)
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    click.echo(f"Serving {shown} at {url} (Ctrl-C stops)")
    if not is_loopback(settings.host):
        click.echo("warning: whoever reaches this address can run these agents: there is no sign-in", err=True)
    data = '{"input": "Hello"}'
    click.echo(f"Try: curl {url}/agents/{names[0]}/runs -H 'Content-Type: application/json' -d '{data}'")


def _access_log() -> AccessLog:
    import structlog

    log = structlog.get_logger("agno_rt.serve")

    def write(request: Request, status: int, seconds: float) -> None:
        log.info("request", method=request.method, path=request.path, status=status, ms=round(seconds * 1000, 2))

    return write
