"""The command `agno-rt serve`: from the command line to a server that runs until it is told to stop."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import click
import trio

from agno_rt import AgnoError, Runnable, Runtime
from agno_rt.cli.options import State, debug_option
from agno_rt.cli.report import notice, show_warning
from agno_rt.config import read_settings
from agno_rt.defaults.inspect import inspect
from agno_rt.errors import UsageError
from agno_rt.project import Project, load_project
from agno_rt.readiness import check_ready
from agno_rt.run_store import FlowStore
from agno_rt_serve import log
from agno_rt_serve.app import App
from agno_rt_serve.guard import is_loopback
from agno_rt_serve.http.host import Access
from agno_rt_serve.http.hypercorn import HypercornServer, check_hypercorn
from agno_rt_serve.http.listening import Address, bind, bind_unix, name_of, remove_unix
from agno_rt_serve.http.proxies import Proxies
from agno_rt_serve.http.server import Server
from agno_rt_serve.keys import VARIABLE, check_key, check_private, read_key_file, take_key
from agno_rt_serve.process.line_writer import whole_lines
from agno_rt_serve.process.siblings import Siblings
from agno_rt_serve.process.signals import stop_requests
from agno_rt_serve.process.tuning import collect_as_memory_grows, raise_file_limit, tune_collector
from agno_rt_serve.process.worker import LINGER, Worker
from agno_rt_serve.process.workers import Supervisor
from agno_rt_serve.settings import Settings, keys_place

__all__ = ["serve"]


class _Serve(click.Command):
    """The command, with the commands about keys under the word `keys` in the place of a source."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return the context of this command, or of `keys`."""
        if args[:1] != ["keys"]:
            return super().make_context(info_name, args, parent, **extra)
        from agno_rt_serve.keys_command import keys  # for this command alone

        return keys.make_context(f"{info_name} keys", args[1:], parent, **extra)


@click.command(cls=_Serve, epilog="`agno-rt serve keys --help` is about API keys for clients.")
@click.argument("source", metavar="[FILE | agno-rt.toml]", required=False)
@click.option("--host", help="Address to listen on. [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0 takes a free one. [7777]")
@click.option(
    "--server", type=click.Choice(["own", "hypercorn"]), help="The HTTP server: hypercorn has TLS and HTTP/2."
)
@click.option("--tls-cert", metavar="FILE", help="Certificate for TLS, with its chain; for --server hypercorn.")
@click.option("--tls-key", metavar="FILE", help="Key of the certificate.")
@click.option("--unix", metavar="PATH", help="Listen on a Unix socket instead.")
@click.option("--memory", metavar="URL", help="Memory in place of the project's, as in postgresql://host/agents.")
@click.option("--workers", type=click.IntRange(1), help="Processes that serve on the port. [1]")
@click.option("--reload", is_flag=True, default=None, help="Start anew when a file of the project changes.")
@click.option("--grace", type=click.FloatRange(0), help="Seconds for running requests to end in. [10]")
@click.option("--access-log/--no-access-log", default=None, help="Log a line for each request.")
@click.option("--log-format", type=click.Choice(["console", "json"]), help="Log for people, or an object a line.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A proxy, or a network of proxies, whose word about the client counts; `unix` for a Unix socket.",
)
@click.option("--profile", is_flag=True, default=None, help="Offer profiles of the server, only to this machine.")
@click.option("--benchmarks", metavar="DIR", help="Serve the published dashboard of benchmarks in DIR at /benchmarks.")
@click.option("--key-file", metavar="FILE", help="File with the key for clients; a missing file gets a new key.")
@click.option("--keys-file", metavar="FILE", help="File of `agno-rt serve keys`. [serve-keys.json, if it is there]")
@click.option(
    "--no-auth",
    is_flag=True,
    default=None,
    help="Serve without a key: anybody who reaches the address can run the agents.",
)
@click.option(
    "--allow-host", "allowed_hosts", multiple=True, metavar="NAME", help="A name of the server, as in the header Host."
)
@click.option(
    "--show-errors", is_flag=True, default=None, help="Tell clients the whole text of inner errors, as --debug does."
)
@click.option("--worker", type=int, hidden=True, help="Serve as a worker, with this channel to the parent.")
@debug_option
@click.pass_context
def serve(context: click.Context, /, source: str | None, worker: int | None, **options: Any) -> int:
    """Serve agents over HTTP, with a page to chat with them.

    The agents are those of FILE (a Python file, an import path or a .toml), else of the agno-rt.toml in this folder,
    else the two that ship with agno_rt. The table [plugins.serve] has more settings; options here override it.
    """
    # As `python` does: SOURCE may name modules in this folder, and an agents.py may import them.
    sys.path.insert(0, os.getcwd())
    if context.ensure_object(State).debug:
        options["show_errors"] = True
    with whole_lines():
        return _load_and_serve(source, worker, options)


def _load_and_serve(source: str | None, worker: int | None, options: dict[str, Any]) -> int:
    project = load_project(source)
    if not project.runnables:
        raise UsageError(f"{project.source} has no agents to serve", hint="Write a table [agents.NAME] with a model.")
    settings = read_settings(Settings, project.config.plugins.get("serve", {}), "[plugins.serve]")
    if worker is not None:
        place = Worker(worker)
        trio.run(_serve_project, _replace_memory(project, place.memory), place)
        return 0
    memory = options.pop("memory") or ""
    project = _replace_memory(project, memory)
    given = {name: value for name, value in options.items() if value not in (None, ())}
    settings = _find_keys(attrs.evolve(settings, **given), project)
    settings = _add_key(settings, project, by_option="key_file" in given)
    # Wrong settings are told before any worker starts.
    Proxies(settings.trusted_proxies, settings.proxy_headers)
    check_hypercorn(settings)
    if settings.workers == 1 and not settings.reload:
        trio.run(_serve_project, project, settings)
    else:
        return trio.run(_serve_with_workers, source, project, _check_workers(settings), memory)
    return 0


def _replace_memory(project: Project, url: str) -> Project:
    """Return the project with the memory of the URL, or as it is for an empty one. Raises `UsageError`."""
    if not url:
        return project
    config = project.config
    try:
        project.plugins().memory(url, config.settings)
    except UsageError as exc:  # later the project would be named as the place of the mistake
        raise exc.at("--memory") from exc
    return attrs.evolve(project, config=attrs.evolve(config, runtime=attrs.evolve(config.runtime, memory=url)))


async def _serve_project(project: Project, place: Settings | Worker) -> None:
    """Serve in this process: by its own settings, or as a worker of a parent."""
    worker = place if isinstance(place, Worker) else None
    settings = place.settings if isinstance(place, Worker) else place
    async with project.runtime() as runtime, _offer_inspection(project, runtime, settings):
        if worker is None or worker.number == 1:
            await _check_agents(project, runtime)
        if settings.warm:
            await _warm_models(project, runtime)
        log.load(settings.log_format)
        app = App(project, runtime, settings, "" if worker is None else worker.folder)
        if settings.wakes and isinstance(runtime.memory, FlowStore):
            runtime.wake_runs(on_end=app.tell_woken)
        access_log = _log_request if settings.access_log else None
        make_server = Server if settings.server == "own" else HypercornServer
        siblings = None if worker is None or not worker.folder else Siblings(worker.folder, worker.number)
        state = {} if siblings is None else {"siblings": siblings}
        server = make_server(app, settings, cancel_runs=app.cancel_runs, access_log=access_log, state=state)
        failure: AgnoError | None = None
        listeners = worker.listeners if worker is not None else _listen_on_unix(settings)
        async with trio.open_nursery() as nursery:
            await nursery.start(_obey_signals, server, worker)
            if worker is not None:
                nursery.start_soon(worker.heed_parent, server.stop, partial(server.stop, linger=LINGER))
            raise_file_limit(settings.max_connections)
            # Last before serving, when everything is loaded: the collector ignores the objects that exist now.
            tune_collector()
            nursery.start_soon(collect_as_memory_grows)
            try:
                await server.serve(
                    announce=partial(_announce_address, project, settings) if worker is None else worker.ready,
                    listeners=listeners,
                    inner=() if siblings is None else (siblings.listener,),
                    closed=(lambda: None) if worker is None else worker.closed,
                )
            except AgnoError as exc:
                failure = exc  # raised after the nursery, which would wrap the error in a group
            nursery.cancel_scope.cancel()
        if worker is None and settings.unix:
            remove_unix(settings.unix)
        if failure is not None:
            raise failure


async def _serve_with_workers(source: str | None, project: Project, settings: Settings, memory: str) -> int:
    """Serve in several processes, supervised by this one, with the URL of `--memory`. Return the exit code."""
    if project.config.runtime.memory == "memory:" and settings.workers > 1:
        click.echo(
            "warning: with several workers, memory: keeps a session in one worker, and the others do not know it; "
            'if clients use sessions, set memory = "sqlite:///agents.db" in [runtime]',
            err=True,
        )
    with ExitStack() as listening:
        made = _listen_on_unix(settings) or bind(settings.host, settings.port)
        listeners = [listening.enter_context(sock) for sock in made]
        addresses: list[Address] = [name_of(sock) for sock in listeners]
        folder = listening.enter_context(TemporaryDirectory(prefix="agno-rt-", ignore_cleanup_errors=True))
        watched = _find_folder(project) if settings.reload else None
        supervisor = Supervisor(source, settings, listeners, folder, watched, memory)
        try:
            return await supervisor.run(lambda: _announce_address(project, settings, addresses))
        finally:
            if settings.unix:
                remove_unix(settings.unix)


def _find_folder(project: Project) -> Path:
    """Return the folder of the project's files."""
    if project.config.path is not None:
        return project.config.path.absolute().parent
    file = Path(project.source)
    return file.absolute().parent if file.is_file() else Path.cwd()


def _listen_on_unix(settings: Settings) -> list[socket.socket]:
    """Listen on the Unix socket of the settings, if there is one. Raises `UsageError` if that fails."""
    if not settings.unix:
        return []
    try:
        mode = int(settings.unix_mode, 8)
    except ValueError as exc:
        hint = 'Give the permissions in octal: "660", or "600".'
        raise UsageError(f"[plugins.serve]: unix_mode is {settings.unix_mode!r}", hint=hint) from exc
    return [bind_unix(settings.unix, mode)]


def _find_keys(settings: Settings, project: Project) -> Settings:
    """Return the settings with the path of the file of keys: of the setting, or of a file that is there."""
    place = keys_place(settings, Path() if project.config.path is None else project.config.path.parent)
    found = str(place.absolute()) if settings.keys_file or place.exists() else ""
    return attrs.evolve(settings, keys_file=found)


def _add_key(settings: Settings, project: Project, *, by_option: bool) -> Settings:
    """Return the settings with the key of the option, the environment or the table, in this order.

    Raises `UsageError` if other users can read the key, and if anybody could reach the agents without a key.
    """
    key = take_key(os.environ)
    if settings.key and project.config.path is not None:
        check_private(project.config.path)
    if by_option or not (key or settings.key):
        key = _read_key(settings.key_file) if settings.key_file else ""
        settings = attrs.evolve(settings, key=key)
    else:
        key = key or check_key(settings.key, "the setting key")
        settings = attrs.evolve(settings, key=key, key_file="")
    if not (settings.asks_for_keys or settings.no_auth or is_loopback(settings.host)):
        raise UsageError(
            f"anybody who reaches {settings.host or 'this machine'} could run these agents: there is no key",
            hint=f"Make one with `agno-rt serve keys add NAME`, set {VARIABLE}, or use --key-file FILE, which makes "
            "one for all clients. To serve without a key: --no-auth.",
        )
    return settings


def _read_key(path: str) -> str:
    key, is_new = read_key_file(Path(path))
    if is_new:
        click.echo(f"Wrote a new key to {path}", err=True)
    return key


def _check_workers(settings: Settings) -> Settings:
    if settings.workers < 1:
        raise UsageError(f"[plugins.serve]: workers is {settings.workers}", hint="Set it to 1 or more.")
    if os.name != "posix":
        raise UsageError(
            "several workers need a Unix", hint="Leave `workers` out, or start several servers behind a proxy."
        )
    return settings


@asynccontextmanager
async def _offer_inspection(project: Project, runtime: Runtime, settings: Settings) -> AsyncIterator[None]:
    """Let `agno-rt top` ask about the runtime. If that fails, warn and serve all the same."""
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


async def _obey_signals(
    server: Server | HypercornServer, worker: Worker | None, *, task_status: trio.TaskStatus[None]
) -> None:
    with stop_requests() as requests:
        task_status.started()
        async for asked in requests:
            if asked > 1:
                server.abort()
                return
            server.stop()
            if server.busy and worker is not None:
                worker.busy()
            elif server.busy:
                click.echo("Stopping: waiting for running requests. A second signal stops at once.", err=True)


async def _check_agents(project: Project, runtime: Runtime) -> None:
    """Warn of agents that cannot run, and print notes. Raises the error if no agent can run."""
    usable: list[Runnable] = []
    for name, agent in project.runnables.items():
        try:
            runtime.check(agent)
            usable.append(agent)
        except AgnoError as exc:
            if not usable and name == list(project.runnables)[-1]:
                raise
            click.echo(f"warning: the {agent.kind} {name!r} cannot run: {exc.message} {exc.hint}".rstrip(), err=True)
    for finding in await check_ready(runtime, *usable):
        if finding.level == "note":
            notice(str(finding))
        else:
            show_warning(str(finding), finding.hint)


async def _warm_models(project: Project, runtime: Runtime) -> None:
    """Warm the agents' models. A model that cannot be reached is a warning: its server may start later."""
    for runnable in project.runnables.values():
        try:
            await runtime.warm(runnable)
        except AgnoError as exc:
            show_warning(exc.message, exc.hint)


def _announce_address(project: Project, settings: Settings, addresses: list[Address]) -> None:
    port = addresses[0][1]
    # 0.0.0.0 and :: are not addresses to connect to: show a loopback address instead.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(settings.host, settings.host)
    url = f"http{'s' if settings.tls_cert else ''}://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{port}"
    program, base = "curl", url
    if settings.unix:
        url, program, base = (
            f"unix:{settings.unix}",
            f"curl --unix-socket {shlex.quote(settings.unix)}",
            "http://localhost",
        )
    names = list(project.runnables)
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    by = f" with {settings.workers} workers" if settings.workers > 1 else ""
    click.echo(f"Serving {shown} at {url}{by} (Ctrl-C stops)")
    if not (settings.asks_for_keys or is_loopback(settings.host)):
        click.echo("warning: anybody who reaches this address can run these agents: there is no key", err=True)
    data, key = '{"input": "Hello"}', _format_key_header(settings)
    click.echo(f"Try: {program} {base}/agents/{names[0]}/runs {key}-H 'Content-Type: application/json' -d '{data}'")
    if settings.profile:
        click.echo(f"Profile: {program} {key}'{base}/debug/profile?seconds=5' -o profile.svg")


def _format_key_header(settings: Settings) -> str:
    """Return the header that makes curl send the key, without showing the key itself."""
    if not settings.asks_for_keys:
        return ""
    if not settings.key:
        return '-H "Authorization: Bearer KEY" '
    key = f"$(cat {shlex.quote(settings.key_file)})" if settings.key_file else f"${VARIABLE}"
    return f'-H "Authorization: Bearer {key}" '


def _log_request(access: Access) -> None:
    request = access.request
    query = {"query": log.redact_query(request.query)} if request.query else {}
    log.write(
        "info",
        "request",
        method=request.method,
        path=request.path,
        **query,
        status=access.status,
        ms=round(access.seconds * 1000, 2),
        bytes=access.sent,
        client=access.client,
        request=request.id,
    )
