"""Checks of all that agents need: Python, plugins, configuration, models, memory, agents; plugins add their own."""

from __future__ import annotations

import platform
import re
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeAlias

import attrs
import trio

from agno_rt.agent import Agent
from agno_rt.cli.default_memory import data_folder, tilde
from agno_rt.cli.list_agents import name_model
from agno_rt.cli.list_models import find_fault, find_missing, list_models
from agno_rt.cli.tables import counted
from agno_rt.cli.target import configuration
from agno_rt.config import Config, ConfigWarning
from agno_rt.errors import AgnoError
from agno_rt.failures import must_pass, named
from agno_rt.keys.key_file import KeyFile
from agno_rt.plugins import PluginHost
from agno_rt.project import Project, check_tables, load_project
from agno_rt.readiness import Finding, check_ready
from agno_rt.run_store import RunStore
from agno_rt.runnable import Runnable, list_parts
from agno_rt.runtime import Runtime
from agno_rt.workflows.functions import WorkflowFunction

__all__ = ["Line", "examine"]

Status: TypeAlias = Literal["ok", "note", "warning", "error"]

_LEAST_PYTHON = (3, 11)
_PACKAGES = ("trio", "msgspec", "attrs", "pluggy")
_MOST_RUNS = 10_000
_REACH_SECONDS = 15.0
"""The longest wait for the connection to a model's server."""


@attrs.frozen
class Line:
    """A finding `about` a part of the installation. An `error` is broken; a `warning` may be intended."""

    status: Status
    about: str
    message: str
    hint: str = ""


def examine(config: str | None, *, online: bool = False) -> Iterator[Line]:
    """Yield the findings about each part in turn; a broken part does not end the examination.

    With `online`, the servers of the agents' models are reached, but not asked.
    """
    yield from _check_versions()
    try:
        read = configuration(config)
    except AgnoError:
        read = Config()  # reported by `_load_project` below
    host = PluginHost(block=read.runtime.block)
    yield from _check_plugins(host)
    project, found = _load_project(config)
    if project is not None:
        yield _describe_configuration(project, read, config)
    yield from found
    yield from _check_models(read, host)
    of_memory, *more = trio.run(_check_memory, read)
    yield of_memory
    yield from more
    # A broken memory is reported once, not again for each agent.
    if project is not None:
        with_memory = project if of_memory.status == "ok" else _with_default_memory(project)
        yield from trio.run(_check_agents, with_memory)
        if online:
            yield from trio.run(_reach_servers, with_memory)
    yield from _check_keys()
    yield from _examine_plugins(read, host)


def _check_versions() -> Iterator[Line]:
    found = f"Python {platform.python_version()} ({sys.executable})"
    if sys.version_info < _LEAST_PYTHON:
        yield Line("error", "python", found, "agno-rt needs Python 3.11 or newer.")
    else:
        yield Line("ok", "python", found)
    packages = ", ".join(f"{name} {_find_version(name)}" for name in _PACKAGES)
    yield Line("ok", "versions", f"agno-rt {_find_version('agno-rt')}, on {packages}")


def _find_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of a source tree"


def _check_plugins(host: PluginHost) -> Iterator[Line]:
    infos = host.plugins()
    whole = [info.name for info in infos if info.error is None]
    yield Line("ok", "plugins", f"{counted(len(whole), 'plugin')}: {', '.join(whole)}")
    for info in infos:
        if info.error is not None:
            yield Line("error", "plugins", info.error.message, info.error.hint)


def _load_project(config: str | None) -> tuple[Project | None, list[Line]]:
    """Load the project. Return the project, or `None`, and the faults of the configuration."""
    project = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConfigWarning)
        try:
            project = load_project(config)
            check_tables(project.config, project.plugins())
        except AgnoError as exc:
            return None, [Line("error", "configuration", exc.message, exc.hint)]
    parts = [str(warning.message).partition("\n") for warning in caught]
    return project, [Line("warning", "configuration", message, hint) for message, _, hint in parts]


def _describe_configuration(project: Project, read: Config, config: str | None) -> Line:
    names = ", ".join(project.runnables) or "none"
    if read.path is None and config is None:
        hint = "`agno-rt init` writes an agno-rt.toml to start from."
        return Line("note", "configuration", f"no agno-rt.toml here; the agents that ship are used: {names}", hint)
    return Line("ok", "configuration", f"{project.source}, with {counted(len(project.runnables), 'agent')}: {names}")


def _check_models(read: Config, host: PluginHost) -> Iterator[Line]:
    """Yield the ready models, and a note for each reason why others are not ready."""
    # Only a note: a missing key is an error just for the agents of the model, and `_check_agents` reports those.
    models = list_models(read, host)
    for model in models:
        if model.ready:
            yield Line("ok", "models", f"{model.spec} is ready")
    for (message, hint), specs in find_missing(models).items():
        yield Line("note", "models", f"{', '.join(specs)}: {message}", hint)


async def _check_memory(read: Config) -> list[Line]:
    """Return the line of the memory, and a line for runs that have stopped."""
    url, host = read.runtime.memory, PluginHost(block=read.runtime.block)
    try:
        async with Runtime(memory=url, plugins=host, settings=read.plugins, origin=str(read.path or "")) as runtime:
            for each in await check_ready(runtime):
                shown = _hide_password(url)
                named = each.message if "memory" in each.message else f"memory {shown}: {each.message}"
                if each.level == "note":
                    return [Line("ok", "memory", named, each.hint), *await _find_stopped_runs(runtime)]
                return [Line("error", "memory", named, each.hint)]
            if url != "memory:":
                line = Line("ok", "memory", f"memory {_hide_password(url)} opens")
                return [line, *await _find_stopped_runs(runtime)]
        kept = tilde(data_folder())
    except AgnoError as exc:
        return [Line("error", "memory", exc.message, exc.hint)]
    return [Line("ok", "memory", f"memory: ends with the process; chats and stored runs are kept in {kept}")]


async def _find_stopped_runs(runtime: Runtime) -> list[Line]:
    """Return a note if the processes of running runs are gone."""
    store = runtime.memory
    if not isinstance(store, RunStore):
        return []
    stopped = await runtime.find_stopped(await store.runs(status="running", limit=_MOST_RUNS))
    if not stopped:
        return []
    hint = "`agno-rt runs list --status running` has them. `agno-rt serve` takes them over, and `runs resume ID` one."
    return [Line("note", "memory", f"{counted(len(stopped), 'run')} stopped with the process", hint)]


def _hide_password(url: str) -> str:
    """Return the URL of a server without the password."""
    return re.sub(r"^([a-z+]+://[^/?#]*?):.*@", r"\1:***@", url)


def _with_default_memory(project: Project) -> Project:
    config = project.config
    return attrs.evolve(project, config=attrs.evolve(config, runtime=attrs.evolve(config.runtime, memory="memory:")))


async def _check_agents(project: Project) -> list[Line]:
    lines: list[Line] = []
    try:
        async with project.runtime() as runtime:
            for name, agent in project.runnables.items():
                lines += await _check_agent(runtime, name, agent)
    except AgnoError as exc:
        lines.append(Line("error", "agents", f"agents cannot run: {exc.message}", exc.hint))
    return lines


async def _check_agent(runtime: Runtime, name: str, agent: Runnable) -> list[Line]:
    fault = await find_fault(runtime, agent.model) if isinstance(agent, Agent) else None
    lines = []
    for finding in await check_ready(runtime, agent, toolkits=True):
        if finding.level == "error" or (finding.message, finding.hint) == fault:
            lines.append(Line("error", "agents", f"{agent.kind} {name} cannot answer: {finding.message}", finding.hint))
        elif finding.agents:
            status: Status = "note" if finding.level == "note" else "warning"
            lines.append(Line(status, "agents", f"{agent.kind} {name}: {finding.message}", finding.hint))
    if any(line.status == "error" for line in lines):
        return lines
    if isinstance(agent, WorkflowFunction):
        from agno_rt.workflows.lint import find_unrecorded  # projects without workflows need no lint

        for call in find_unrecorded(agent):
            place = f"{Path(call.file).name}:{call.line}"
            lines.append(
                Line("warning", "agents", f"workflow {name}: {call.name} in {place} is not recorded", call.hint)
            )
    if not isinstance(agent, Agent):
        return [Line("ok", "agents", f"{agent.kind} {name} can answer"), *lines]
    return [Line("ok", "agents", f"agent {name} can answer, with {name_model(agent)}"), *lines]


def _check_keys() -> Iterator[Line]:
    """Yield the names of the keys in the user's file, or the fault of the file; nothing without a file."""
    file = KeyFile()
    try:
        names = file.names()
    except AgnoError as exc:
        yield Line("error", "keys", exc.message, exc.hint)
        return
    if names:
        yield Line("ok", "keys", f"{counted(len(names), 'key')} in {file.shown}: {', '.join(names)}")


async def _reach_servers(project: Project) -> list[Line]:
    """Return whether the servers of the agents' models can be reached; models without a server are left out."""
    lines: dict[str, Line] = {}
    async with project.runtime() as runtime:
        for agent in project.runnables.values():
            for part in list_parts(agent):
                spec = part.model if isinstance(part, Agent) else None
                if isinstance(spec, str) and spec not in lines:
                    line = await _reach_server(runtime, spec)
                    lines |= {spec: line} if line is not None else {}
    return list(lines.values())


async def _reach_server(runtime: Runtime, spec: str) -> Line | None:
    try:
        warm = getattr(runtime.model(spec), "warm", None)
        if warm is None:
            return None
        with trio.fail_after(_REACH_SECONDS):
            await warm()
    except trio.TooSlowError:
        return Line("warning", "models", f"the server of {spec} gave no answer within {_REACH_SECONDS:g} s")
    except AgnoError as exc:
        return Line("warning", "models", exc.message, exc.hint)
    except BaseException as exc:
        if must_pass(exc):
            raise
        return Line("warning", "models", f"the server of {spec} could not be tried: {named(exc)}")
    return Line("ok", "models", f"the server of {spec} can be reached")


def _examine_plugins(read: Config, host: PluginHost) -> Iterator[Line]:
    """Yield what plugins find about themselves by the hook `agno_rt_examine`."""
    for name in host.names():
        if name in host.failures:
            continue  # reported by `_check_plugins`
        try:
            found = host.examine(name, read.plugins.get(name, {}))
        except AgnoError as exc:
            yield Line("error", name, exc.message, exc.hint)
            continue
        for each in found:
            if isinstance(each, Finding):
                yield Line("ok" if each.level == "note" else each.level, name, each.message, each.hint)
            else:
                hint = "The hook agno_rt_examine must return Findings: tell the plugin's author."
                yield Line("error", name, f"plugin {name!r} found {type(each).__name__}, not a Finding", hint)
