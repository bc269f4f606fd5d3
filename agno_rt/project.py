"""A project: the agents of a Python file, an import path or an agno-rt.toml, with the runtime they ask for.

This is what the command line and the server start from. Where nothing is named and no agno-rt.toml is here, it is the
project that ships with agno_rt and that `agno-rt init` writes.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from types import ModuleType

import attrs

from agno_rt._worker import import_file
from agno_rt.agent import Agent
from agno_rt.config import FILE_NAME, AgentConfig, Config, RuntimeConfig, load_config
from agno_rt.errors import ConfigError, NotFound, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.plugins import PluginHost
from agno_rt.runtime import Runtime

__all__ = ["Project", "load_project", "shipped_project"]


@attrs.frozen
class Project:
    """Agents by name, and the configuration that their runtime is made from. `source` says where they are from."""

    source: str
    agents: dict[str, Agent]
    config: Config = Config()

    def agent(self, name: str) -> Agent:
        """The agent of that name. Raises `NotFound`, with the nearest name."""
        agent = self.agents.get(name)
        if agent is None:
            raise NotFound("agent", name, self.agents, where=self.source)
        return agent

    def plugins(self) -> PluginHost:
        """A plugin host as the configuration has it."""
        return PluginHost(block=self.config.runtime.block)

    def runtime(self) -> Runtime:
        """A runtime as the configuration has it, not yet open."""
        config = self.config
        runtime = Runtime(
            memory=config.runtime.memory,
            limits=config.limits,
            plugins=self.plugins(),
            settings=config.plugins,
            observers=config.runtime.observers,
            origin=self.source,
        )
        if self.agents:
            runtime.add(*self.agents.values())
        return runtime


def load_project(source: str | None = None) -> Project:
    """The project at `source`: a .toml file, a .py file, or the import path of a module.

    `None` is the agno-rt.toml in this folder, or else the project that ships with agno_rt. Raises `NotFound` for a
    source that is not there, `ConfigError` for one that cannot be used.
    """
    if source is None:
        return _from_toml(Path(FILE_NAME)) if Path(FILE_NAME).exists() else shipped_project()
    if source.endswith(".toml"):
        _must_exist(Path(source))
        return _from_toml(Path(source))
    agents = _agents_of(source, Path())
    if not agents:
        raise ConfigError(f"{source} has no agents", hint="Assign one at its top level: assistant = Agent(...).")
    return Project(source, agents, Config(runtime=RuntimeConfig(load=(source,))))


def shipped_project() -> Project:
    """The project that ships with agno_rt: two agents on the embedded model."""
    with resources.as_file(resources.files("agno_rt") / "defaults" / "project") as folder:
        return attrs.evolve(_from_toml(folder / FILE_NAME), source="the agents that ship with agno_rt")


def _from_toml(path: Path) -> Project:
    config = load_config(path)
    agents = {name: _agent(name, table) for name, table in config.agents.items()}
    if config.runtime.load:
        _import_from(path.parent)
    for source in config.runtime.load:
        for name, agent in _agents_of(source, path.parent).items():
            if agents.setdefault(name, agent) is not agent:
                hint = "Rename one of them."
                raise ConfigError(f"{path}: there is an agent {name!r} in [agents] and in {source}", hint=hint)
    return Project(str(path), agents, config)


def _agent(name: str, config: AgentConfig) -> Agent:
    return Agent(
        model=config.model,
        name=name,
        instructions=config.instructions,
        tools=config.tools,
        hooks=config.hooks,
        description=config.description,
        memory=config.memory,
        settings=config.settings,
        limits=config.limits,
    )


def _agents_of(source: str, folder: Path) -> dict[str, Agent]:
    module = _from_file(folder / source) if source.endswith(".py") else _from_path(source)
    found = [(attribute, value) for attribute, value in vars(module).items() if isinstance(value, Agent)]
    return _named(found, source)


def _named(found: Iterable[tuple[str, Agent]], source: str) -> dict[str, Agent]:
    """The agents by their own name, or by the variable's where they have none."""
    agents: dict[str, Agent] = {}
    for attribute, value in found:
        agent = value if value.name else attrs.evolve(value, name=attribute)
        other = agents.setdefault(agent.name, agent)
        if other is not agent and other is not value:
            raise ConfigError(f"{source} has two agents named {agent.name!r}", hint="Give one of them another name.")
    return agents


def _from_file(path: Path) -> ModuleType:
    _must_exist(path)
    _import_from(path.parent)
    try:
        return import_file(_module_name(path), path)
    except UsageError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise ConfigError(f"{_place(path, exc)} fails when it is run: {named(exc)}") from exc


def _module_name(path: Path) -> str:
    """A name that no other module has: what is in two files of one name is found in each."""
    name, number = f"agno_rt_agents_{path.stem}", 1
    while (file := getattr(sys.modules.get(name), "__file__", None)) and Path(file).resolve() != path.resolve():
        number += 1
        name = f"agno_rt_agents_{path.stem}_{number}"
    return name


def _place(path: Path, exc: BaseException) -> str:
    """The file and the line of it that failed, or that called what failed."""
    frames = traceback.extract_tb(exc.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise NotFound("file", str(path), [str(other) for other in path.parent.glob(f"*{path.suffix}")])


def _import_from(folder: Path) -> None:
    """Let a file import its neighbours, as Python does for a script."""
    if (place := str(folder.resolve())) not in sys.path:
        sys.path.insert(0, place)


def _from_path(path: str) -> ModuleType:
    _import_from(Path())
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{path}.".startswith(f"{exc.name}."):
            raise ConfigError(f"{path} fails when it is imported: {exc}") from exc
        hint = "Name a .py file, an importable module or a .toml file."
        raise NotFound("module", path, (), hint=hint) from exc
    except UsageError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise ConfigError(f"{path} fails when it is imported: {named(exc)}") from exc
