"""The command `agno-rt ollama`: fetches models to a server, or lists the models of the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import click
import trio
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from agno_rt.cli.options import config_option, debug_option, json_option
from agno_rt.cli.tables import Column, print_json_lines, print_table
from agno_rt.cli.target import configuration
from agno_rt.errors import UsageError, suggest
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.server import without_query
from agno_rt.wire.refusals import Peer
from agno_rt_ollama.library import Library
from agno_rt_ollama.profile import PLUGIN, Server, choose, read_all
from agno_rt_ollama.wire import read_error

__all__ = ["ollama"]

T = TypeVar("T")


@click.group()
def ollama() -> None:
    """Fetch models to an Ollama server, or list the models of the server.

    The server is at OLLAMA_HOST, or in [plugins.ollama] of agno-rt.toml, or on this machine.
    """


@ollama.command("pull")
@click.argument("model")
@config_option
@debug_option
def pull_command(model: str, config: str | None) -> None:
    """Let the server fetch MODEL, and show the progress.

    MODEL is a name as in Ollama's library, such as llama3.2 or qwen3:8b; NAME:MODEL names a server of agno-rt.toml. A
    download that was interrupted goes on where it stopped: run the command again.
    """
    name, server_name, server = choose(model, configuration(config).plugins.get(PLUGIN, {}))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("asking the server", total=None)

        def show(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total or None)

        _with_library(server, server_name, name, lambda library: library.pull(name, show))
    spec = f"{PLUGIN}:{server_name}:{name}" if server_name else f"{PLUGIN}:{name}"
    click.echo(f'Fetched. Try: agno-rt run {spec} "Hello!"')


@ollama.command("list")
@click.argument("server", required=False, default="")
@config_option
@json_option
@debug_option
def list_command(server: str, config: str | None, as_json: bool) -> None:
    """List the models of the server; SERVER is a name of agno-rt.toml."""
    servers = read_all(configuration(config).plugins.get(PLUGIN, {}))
    if server not in servers:
        raise UsageError(f"there is no Ollama server {server!r}", hint=suggest("server", server, filter(None, servers)))
    models = _with_library(servers[server], server, "", lambda library: library.list())
    if as_json:
        print_json_lines(models)
        return
    columns = (Column("MODEL", whole=True), Column("SIZE", right=True), Column("PARAMETERS"), Column("QUANTIZATION"))
    prefix = f"{PLUGIN}:{server}:" if server else f"{PLUGIN}:"
    rows = [
        (f"{prefix}{each.name}", f"{each.size / 1e9:.1f} GB", each.parameters, each.quantization) for each in models
    ]
    print_table(columns, rows, empty="The server has no model. For one: agno-rt ollama pull llama3.2")


def _with_library(server: Server, name: str, model: str, work: Callable[[Library], Awaitable[T]]) -> T:
    """Run the work under trio with the models of a server."""
    key = server.key()
    peer = Peer(
        name=f"the Ollama server {name}".rstrip(),
        provider=name or PLUGIN,
        model=model,
        url=without_query(server.base_url),
        key_source=key.source,
        secrets=server.secrets(key),
        read_error=read_error,
    )

    async def main() -> T:
        async with aclosing(HttpClient(server, peer.provider, "agno-rt-ollama")) as client:
            return await work(Library(server, client, peer))

    return trio.run(main)
