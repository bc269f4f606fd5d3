"""Looks at everything that agents need here: Python, plugins, the configuration, models, memory, agents, the port."""

from __future__ import annotations

import os
import platform
import socket
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, TypeAlias

import attrs
import trio

from agno_rt.agent import Agent
from agno_rt.cli.keeping import data_folder, tilde
from agno_rt.cli.list_models import find_fault, find_missing, list_models
from agno_rt.cli.tables import counted
from agno_rt.cli.target import configuration
from agno_rt.config import Config, ConfigWarning
from agno_rt.errors import AgnoError
from agno_rt.plugins import PluginHost
from agno_rt.project import Project, check_tables, load_project
from agno_rt.readiness import check_ready
from agno_rt.runtime import Runtime

__all__ = ["Line", "examine"]

Status: TypeAlias = Literal["ok", "note", "warning", "error"]

_LEAST_PYTHON = (3, 11)
_PACKAGES = ("trio", "msgspec", "attrs", "pluggy")
_PORT = 7777


@attrs.frozen
class Line:
    """What was found out `about` something; an `error` is something broken, a `warning` may be meant so."""

    status: Status
    about: str
    message: str
    hint: str = ""


def examine(config: str | None) -> Iterator[Line]:
    """Look at one thing after the other, and go on where one is broken."""
    yield from _versions()
    try:
        read = configuration(config)
    except AgnoError:
        read = Config()  # told below
    host = PluginHost(block=read.runtime.block)
    yield from _plugins(host)
    project, found = _project(config)
    if project is not None:
        yield _configuration(project, read, config)
    yield from found
    yield from _models(read, host)
    of_memory = trio.run(_memory, read)
    yield of_memory
    if project is not None:
        yield from trio.run(_agents, project if of_memory.status == "ok" else _without_memory(project))
    yield from _port(read, host)


def _versions() -> Iterator[Line]:
    found = f"Python {platform.python_version()} ({sys.executable})"
    if sys.version_info < _LEAST_PYTHON:
        yield Line("error", "python", found, "agno-rt needs Python 3.11 or newer.")
    else:
        yield Line("ok", "python", found)
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    yield Line("ok", "versions", f"agno-rt {_version('agno-rt')}, on {packages}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of a source tree"


def _plugins(host: PluginHost) -> Iterator[Line]:
    infos = host.plugins()
    whole = [info.name for info in infos if info.error is None]
    yield Line("ok", "plugins", f"{counted(len(whole), 'plugin')}: {', '.join(whole)}")
    for info in infos:
        if info.error is not None:
            yield Line("error", "plugins", info.error.message, info.error.hint)


def _project(config: str | None) -> tuple[Project | None, list[Line]]:
    """Load the project, and find what is wrong with its configuration."""
    project = None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ConfigWarning)
        try:
            project = load_project(config)
            check_tables(project.config, project.plugins())
        except AgnoError as exc:
            return None, [Line("error", "configuration", exc.message, exc.hint)]
    parts = [str(warning.message).partition("\n") for warning in told]
    return project, [Line("warning", "configuration", message, hint) for message, _, hint in parts]


def _configuration(project: Project, read: Config, config: str | None) -> Line:
    names = ", ".join(project.agents) or "none"
    if read.path is None and config is None:
        hint = "`agno-rt init` writes an agno-rt.toml to start from."
        return Line("note", "configuration", f"no agno-rt.toml here; the agents that ship are used: {names}", hint)
    return Line("ok", "configuration", f"{project.source}, with {counted(len(project.agents), 'agent')}: {names}")


def _models(read: Config, host: PluginHost) -> Iterator[Line]:
    """What a model lacks matters to the agents that ask it, and is told of them; here it is good to know."""
    models = list_models(read, host)
    for model in models:
        if model.ready:
            yield Line("ok", "models", f"{model.spec} is ready")
    for (message, hint), specs in find_missing(models).items():
        yield Line("note", "models", f"{', '.join(specs)}: {message}", hint)


async def _memory(read: Config) -> Line:
    url, host = read.runtime.memory, PluginHost(block=read.runtime.block)
    try:
        async with Runtime(memory=url, plugins=host, settings=read.plugins, origin=str(read.path or "")) as runtime:
            for each in await check_ready(runtime):
                named = each.message if "memory" in each.message else f"memory {url}: {each.message}"
                return Line("error", "memory", named, each.hint)
        if url != "memory:":
            return Line("ok", "memory", f"memory {url} opens")
        kept = tilde(data_folder())
    except AgnoError as exc:
        return Line("error", "memory", exc.message, exc.hint)
    return Line("ok", "memory", f"memory: ends with the process; what is to last is kept in {kept}")


def _without_memory(project: Project) -> Project:
    config = project.config
    return attrs.evolve(project, config=attrs.evolve(config, runtime=attrs.evolve(config.runtime, memory="memory:")))


async def _agents(project: Project) -> list[Line]:
    lines: list[Line] = []
    try:
        async with project.runtime() as runtime:
            for name, agent in project.agents.items():
                lines += await _agent(runtime, name, agent)
    except AgnoError as exc:
        lines.append(Line("error", "agents", f"agents cannot run: {exc.message}", exc.hint))
    return lines


async def _agent(runtime: Runtime, name: str, agent: Agent[Any, Any]) -> list[Line]:
    fault = await find_fault(runtime, agent.model)
    lines = []
    for finding in await check_ready(runtime, agent, toolkits=True):
        if finding.level == "error" or (finding.message, finding.hint) == fault:
            lines.append(Line("error", "agents", f"agent {name} cannot answer: {finding.message}", finding.hint))
        elif finding.agents:
            status: Status = "note" if finding.level == "note" else "warning"
            lines.append(Line(status, "agents", f"agent {name}: {finding.message}", finding.hint))
    if any(line.status == "error" for line in lines):
        return lines
    model = agent.model if isinstance(agent.model, str) else agent.model.name
    return [Line("ok", "agents", f"agent {name} can answer, with {model}"), *lines]


def _port(read: Config, host: PluginHost) -> Iterator[Line]:
    """Whether `agno-rt serve` could listen, where it is installed."""
    if "serve" not in host.names():
        return
    table = read.plugins.get("serve", {})
    address, port = table.get("host", "127.0.0.1"), table.get("port", _PORT)
    if port == 0:
        return  # it takes a free one
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            if os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
    except (OSError, TypeError, OverflowError) as exc:
        hint = "A server may be running there already; `agno-rt serve --port 0` takes a free one."
        yield Line("warning", "port", f"port {port} of {address} cannot be used: {exc}", hint)
    else:
        yield Line("ok", "port", f"port {port} is free for `agno-rt serve`")
