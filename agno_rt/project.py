"""A project: the agents of a Python file, an import path or an agno-rt.toml, with the runtime they ask for.

This is what the command line and the server start from. Where nothing is named and no agno-rt.toml is here, it is the
project that ships with agno_rt and that `agno-rt init` writes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

import attrs

from agno_rt._runtime.sources import import_from, load_module, must_exist
from agno_rt.agent import Agent
from agno_rt.config import FILE_NAME, AgentConfig, Config, ConfigWarning, RuntimeConfig, load_config, settings_error
from agno_rt.errors import ConfigError, NotFound, suggest
from agno_rt.plugins import PluginHost, extra_plugins
from agno_rt.runtime import Runtime

__all__ = ["Project", "check_tables", "load_project", "shipped_project"]


@attrs.frozen
class Project:
    """Agents by name, and the configuration that their runtime is made from.

    `source` says where the project is from, and `sources`, by name, which file or module has an agent.
    """

    source: str
    agents: dict[str, Agent]
    config: Config = Config()
    sources: Mapping[str, str] = attrs.Factory(dict)

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
        """A runtime as the configuration has it, not yet open.

        Raises `UsageError` for a memory URL that cannot be used, and for settings of an unknown plugin. Settings of a
        plugin that is not installed are a `ConfigWarning`.
        """
        config, plugins = self.config, self.plugins()
        if config.plugins:
            check_tables(config, plugins)
        runtime = Runtime(
            memory=config.runtime.memory,
            limits=config.limits,
            plugins=plugins,
            settings=config.plugins,
            observers=config.runtime.observers,
            origin=self.source,
        )
        if self.agents:
            runtime.add(*self.agents.values())
        if config.runtime.memory != "memory:":
            _ = runtime.memory  # a wrong URL is told at once, and not when a session is first used
        return runtime


def check_tables(config: Config, plugins: PluginHost) -> None:
    """Check that each table `[plugins.NAME]` is of a plugin. Raises `ConfigError`, with the nearest name.

    A plugin that is not there, but that `agno-rt[all]` would install, is a `ConfigWarning`.
    """
    installed = {*plugins.names(), *config.runtime.block}
    for name, table in config.plugins.items():
        if name in installed:
            continue
        where, known = f"[plugins.{name}]", extra_plugins()
        if name in known:
            problem = f"{where} has no effect: the plugin {name!r} is not installed"
            hint = f"Install it: pip install {known[name]}"
            warnings.warn(f"{settings_error(problem, table, where).message}\n{hint}", ConfigWarning, stacklevel=3)
            continue
        plain = name.removeprefix("agno-rt-").removeprefix("agno_rt_")
        known_names = {*installed, *known}
        hint = f"Write [plugins.{plain}]." if plain in known_names else suggest("plugin", name, known_names)
        raise settings_error(f"unknown plugin {name!r}", table, where, hint)


def load_project(source: str | None = None) -> Project:
    """The project at `source`: a .toml file, a .py file, or the import path of a module.

    `None` is the agno-rt.toml in this folder, or else the project that ships with agno_rt. Raises `NotFound` for a
    source that is not there, `ConfigError` for one that cannot be used.
    """
    if source is None:
        return _from_toml(Path(FILE_NAME)) if Path(FILE_NAME).exists() else shipped_project()
    if source.endswith(".toml"):
        must_exist(Path(source))
        return _from_toml(Path(source))
    agents = _agents_of(source, Path())
    if not agents:
        raise ConfigError(f"{source} has no agents", hint="Assign one at its top level: assistant = Agent(...).")
    return Project(source, agents, Config(runtime=RuntimeConfig(load=(source,))), dict.fromkeys(agents, source))


def shipped_project() -> Project:
    """The project that ships with agno_rt: two agents on the embedded model."""
    with resources.as_file(resources.files("agno_rt") / "defaults" / "project") as folder:
        config = load_config(folder / FILE_NAME)
        # Its agents.py is an example, for those who write a project of their own.
        project = _configured(folder / FILE_NAME, attrs.evolve(config, runtime=attrs.evolve(config.runtime, load=())))
    shipped = "the agents that ship with agno_rt"
    return attrs.evolve(project, source=shipped, sources=dict.fromkeys(project.agents, "ships with agno_rt"))


def _from_toml(path: Path) -> Project:
    return _configured(path, load_config(path))


def _configured(path: Path, config: Config) -> Project:
    agents = {name: _agent(name, table) for name, table in config.agents.items()}
    sources = dict.fromkeys(agents, str(path))
    if config.runtime.load:
        import_from(path.parent)
    for source in config.runtime.load:
        for name, agent in _agents_of(source, path.parent).items():
            if agents.setdefault(name, agent) is not agent:
                hint = "Rename one of them."
                raise ConfigError(f"{path}: there is an agent {name!r} in [agents] and in {source}", hint=hint)
            sources.setdefault(name, source)
    return Project(str(path), agents, config, sources)


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
    module = load_module(source, folder)
    found = [(attribute, value) for attribute, value in tuple(vars(module).items()) if isinstance(value, Agent)]
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
