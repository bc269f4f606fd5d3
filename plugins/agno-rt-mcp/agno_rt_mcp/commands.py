"""The command `agno-rt mcp`: lists servers and their tools, checks servers, and calls a tool."""

from __future__ import annotations

import functools
import os
import sys
import time
import webbrowser
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
import click
import msgspec
import trio

from agno_rt.cli.options import config_option, debug_option, json_option
from agno_rt.cli.report import clean, notice, show_error
from agno_rt.cli.tables import Column, counted, one_line, print_json_lines, print_table
from agno_rt.cli.target import configuration
from agno_rt.errors import AgnoError, ConfigError, UsageError, suggest
from agno_rt.messages import Media, Message
from agno_rt.tools import ToolArgumentError
from agno_rt_mcp.results import McpTool, describe
from agno_rt_mcp.server.command import serve
from agno_rt_mcp.settings import ServerSettings, find_server, list_servers, show_url

__all__ = ["command"]


@click.group("mcp")
def command() -> None:
    """List, check and call the tools of MCP servers, log in at servers, and serve agents as one.

    SERVER is a name of [plugins.mcp.servers] or of .mcp.json, a file, a command line or a URL. `list` and `check`
    without a server tell of all named servers.
    """


@command.command("list")
@click.argument("server", required=False)
@config_option
@json_option
@debug_option
def list_command(server: str | None, config: str | None, as_json: bool) -> None:
    """List the servers, or start SERVER and list the tools."""
    settings = _read_settings(config)
    if server is None:
        _print_servers(list_servers(settings), as_json)
        return
    tools = trio.run(_list_tools, find_server(server, settings))
    rows = [
        {"name": each.name, "title": each.title, "description": each.description, "notes": _list_notes(each)}
        for each in tools
    ]
    if as_json:
        print_json_lines({**row, "parameters": each.parameters} for row, each in zip(rows, tools, strict=True))
        return
    columns = [Column("tool", whole=True), Column("notes"), Column("description")]
    print_table(columns, [(row["name"], row["notes"], one_line(row["description"])) for row in rows], empty="No tools.")


@command.command("check")
@click.argument("servers", nargs=-1)
@config_option
@json_option
@debug_option
def check_command(servers: tuple[str, ...], config: str | None, as_json: bool) -> int:
    """Open each of SERVERS, and print the number of tools and the seconds. The exit code is 1 after a failure."""
    settings = _read_settings(config)
    found = {each: find_server(each, settings) for each in servers} or list_servers(settings)
    if not found:
        raise UsageError("there are no MCP servers", hint="Write [plugins.mcp.servers.NAME], or name a file or a URL.")
    failures = 0
    for name, each in found.items():
        began = time.perf_counter()
        try:
            if isinstance(each, ConfigError):
                raise each
            tools = trio.run(_list_tools, each)
        except AgnoError as exc:
            failures += 1
            if as_json:
                print_json_lines([{"server": name, "error": exc.message, "hint": exc.hint}])
            else:
                show_error(exc.message, exc.hint)
            continue
        seconds = time.perf_counter() - began
        if as_json:
            print_json_lines([{"server": name, "tools": len(tools), "seconds": round(seconds, 3)}])
        else:
            click.echo(f"{name}: {counted(len(tools), 'tool')}, opened in {seconds:.1f} s")
    return 1 if failures else 0


@command.command("call")
@click.argument("server")
@click.argument("tool")
@click.argument("arguments", default="{}")
@config_option
@debug_option
def call_command(server: str, tool: str, arguments: str, config: str | None) -> int:
    """Call TOOL of SERVER with ARGUMENTS, a JSON object, and print the result. No approval is asked.

    The exit code is 1 if the tool fails.
    """
    found = find_server(server, _read_settings(config))
    given = _read_arguments(arguments, dict[str, Any])
    try:
        result = trio.run(_call_tool, found, tool, given)
    except ToolArgumentError as exc:
        click.echo(str(exc))
        notice(f"The tool {tool} failed.")
        return 1
    if isinstance(result, str | Media):
        result = [result]
    click.echo(describe(result))
    return 0


@command.command("prompts")
@click.argument("server")
@click.argument("prompt", required=False)
@click.argument("arguments", default="{}")
@config_option
@json_option
@debug_option
def prompts_command(server: str, prompt: str | None, arguments: str, config: str | None, as_json: bool) -> None:
    """List the prompts of SERVER; or fill in PROMPT with ARGUMENTS, a JSON object of texts, and print it."""
    from agno_rt_mcp.prompts import describe_prompt, get_prompt, list_prompts

    found = find_server(server, _read_settings(config))
    if prompt is not None:
        given = _read_arguments(arguments, dict[str, str])
        messages = trio.run(_use_connection, found, lambda each: get_prompt(found, each.using, prompt, given))
        if as_json:
            print_json_lines({"role": each.role, "text": each.text} for each in messages)
        else:
            click.echo(clean("\n\n".join(f"{each.role}: {_show_content(each)}" for each in messages)))
        return
    prompts = [
        describe_prompt(each) for each in trio.run(_use_connection, found, lambda each: list_prompts(each.using))
    ]
    if as_json:
        print_json_lines(prompts)
        return
    rows = [
        (each["name"], ", ".join(each.get("arguments", ())), one_line(each.get("description", ""))) for each in prompts
    ]
    print_table([Column("prompt", whole=True), Column("arguments"), Column("description")], rows, empty="No prompts.")


@command.command("complete")
@click.argument("server")
@click.argument("where")
@click.argument("argument")
@click.argument("value", default="")
@click.option("--with", "others", default="{}", help="Other arguments that have a value, a JSON object of texts.")
@config_option
@debug_option
def complete_command(server: str, where: str, argument: str, value: str, others: str, config: str | None) -> None:
    """Print values of ARGUMENT that begin with VALUE.

    WHERE is a prompt of SERVER, or the address of a resource with {names} to fill in.
    """
    from agno_rt_mcp.prompts import complete

    found = find_server(server, _read_settings(config))
    given = _read_arguments(others, dict[str, str])
    done = trio.run(_use_connection, found, lambda each: complete(each.using, where, argument, value, given))
    for each in done.values:
        click.echo(clean(each))
    if done.has_more or (done.total or 0) > len(done.values):
        notice(f"There are more than these {len(done.values)}.")


@command.command("login")
@click.argument("server")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port for the browser's way back.")
@click.option("--browser/--no-browser", default=True, help="Whether to open the browser.")
@click.option("--timeout", type=click.FloatRange(1), default=300.0, show_default=True, help="The seconds to wait.")
@config_option
@debug_option
def login_command(server: str, port: int, browser: bool, timeout: float, config: str | None) -> None:
    """Log in at SERVER, a server over HTTP, in the browser.

    The login is kept in a file that only you can read. On another machine, give --port and forward the port:
    ssh -L PORT:127.0.0.1:PORT HOST.
    """
    from agno_rt_mcp.oauth.login import log_in
    from agno_rt_mcp.oauth.store import LoginStore

    found = find_server(server, _read_settings(config))

    async def show(address: str) -> None:
        notice(f"Log in at {found.name} in the browser:")
        click.echo(clean(address), err=True)
        if browser and _has_browser():
            await trio.to_thread.run_sync(webbrowser.open, address)

    login = trio.run(functools.partial(log_in, found, show, port=port, seconds=timeout))
    rights = f", with {' '.join(login.scopes)}" if login.scopes else ""
    click.echo(clean(f"Logged in at {found.name}{rights}. The login is kept in {LoginStore(found).shown}."))


@command.command("logout")
@click.argument("server")
@config_option
@debug_option
def logout_command(server: str, config: str | None) -> None:
    """Forget the login at SERVER, and ask the issuer to take the tokens back."""
    from agno_rt_mcp.oauth.login import log_out

    found = find_server(server, _read_settings(config))
    was_there, is_revoked = trio.run(log_out, found)
    if not was_there:
        notice(f"There was no login at {found.name}.")
        return
    said = "took the tokens back" if is_revoked else "does not take tokens back: they end by themselves"
    click.echo(f"Logged out at {found.name}. The issuer {said}.")


def _has_browser() -> bool:
    """Return whether this machine can show a page to a person. A browser of the terminal would take the terminal."""
    shows = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in shows)


command.add_command(serve)


def _read_settings(config: str | None) -> Any:
    return configuration(config).plugins.get("mcp", {})


def _print_servers(servers: Mapping[str, ServerSettings | ConfigError], as_json: bool) -> None:
    unusable = {name: each for name, each in servers.items() if isinstance(each, ConfigError)}
    usable = {name: each for name, each in servers.items() if isinstance(each, ServerSettings)}
    rows = [(name, show_url(each.url) or " ".join([each.command, *each.args])) for name, each in usable.items()]
    if as_json:
        print_json_lines({"server": name, "target": target} for name, target in rows)
        print_json_lines({"server": name, "error": exc.message, "hint": exc.hint} for name, exc in unusable.items())
    else:
        empty = "No MCP servers. Write [plugins.mcp.servers.NAME], or name one: agno-rt mcp list ./server.py"
        rows += [(name, f"not usable: {exc.message}") for name, exc in unusable.items()]
        print_table([Column("server", whole=True), Column("command or URL")], rows, empty=empty)


def _list_notes(tool: McpTool) -> str:
    said = {
        "read-only": tool.read_only,
        "destructive": tool.destructive and not tool.read_only,
        "asks": tool.approve is not False,
    }
    return ", ".join(word for word, is_so in said.items() if is_so)


def _read_arguments(text: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as exc:
        raise UsageError(f"the arguments are not a JSON object: {exc}", hint="""Write '{"city": "Seoul"}'.""") from exc


def _show_content(message: Message) -> str:
    return describe([message.content] if isinstance(message.content, str) else message.content)


async def _list_tools(server: ServerSettings) -> Sequence[McpTool]:
    async def list_tools(connection: Any) -> Any:
        return connection.tools

    tools: Sequence[McpTool] = await _use_connection(server, list_tools)
    return tools


async def _call_tool(server: ServerSettings, name: str, arguments: dict[str, Any]) -> Any:
    async def call(connection: Any) -> Any:
        chosen = next((each for each in connection.tools if each.name == name), None)
        if chosen is None:
            names = [each.name for each in connection.tools]
            raise UsageError(f"{server.name} has no tool {name!r}", hint=suggest("tool", name, names))
        with trio.move_on_after(server.timeout):
            return await chosen.function(**arguments)
        raise UsageError(f"{name} took longer than {server.timeout:g} s", hint="Raise timeout of the server.")

    return await _use_connection(server, call)


async def _use_connection(server: ServerSettings, use: Callable[[Any], Awaitable[Any]]) -> Any:
    """Open the server once, and return the result of `use`."""
    from agno_rt_mcp.connection import use_server

    return await use_server(attrs.evolve(server, restarts=0), use)
