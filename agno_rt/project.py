"""A project: the agents of a Python file, an import path or an agno-rt.toml, with the configuration of their runtime.

The command line and the server start from a project. Without a source and an agno-rt.toml in the working directory,
they take the project that ships with agno_rt, which `agno-rt init` writes.
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
    """Agents by name, and the configuration of their runtime.

    `source` is the project's origin; `sources` has the file or module of each agent by the agent's name.
    """

    source: str
    agents: dict[str, Agent]
    config: Config = Config()
    sources: Mapping[str, str] = attrs.Factory(dict)

    def agent(self, name: str) -> Agent:
        """Return the agent of a name. Raises `NotFound`, with the nearest name."""
        agent = self.agents.get(name)
        if agent is None:
            hint = (
                "" if self.agents else f"It has no agents: write [agents.{name}] with a model, or load a Python file."
            )
            raise NotFound("agent", name, self.agents, where=self.source, hint=hint)
        return agent

    def plugins(self) -> PluginHost:
        """Return a new plugin host without the plugins that the configuration blocks."""
        return PluginHost(block=self.config.runtime.block)

    def runtime(self) -> Runtime:
        """Return a new runtime with the project's configuration and agents, not yet open.

        Raises `UsageError` for an unusable memory URL, and for settings of an unknown plugin. Warns with a
        `ConfigWarning` about settings of a plugin that is not installed.
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
            _ = runtime.memory  # a wrong URL fails now, and not at the first use of a session
        return runtime


def check_tables(config: Config, plugins: PluginHost) -> None:
    """Check that each table `[plugins.NAME]` names a plugin. Raises `ConfigError`, with the nearest name.

    Warns with a `ConfigWarning` about a missing plugin of `agno-rt[all]`.
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
    """Load the project at `source`: a .toml file, a .py file, or the import path of a module.

    `None` is the agno-rt.toml in the working directory, or else the project that ships with agno_rt. Raises `NotFound`
    for a missing source, `ConfigError` for an unusable source.
    """
    if source is None:
        return _load_toml(Path(FILE_NAME)) if Path(FILE_NAME).exists() else shipped_project()
    if source.endswith(".toml"):
        must_exist(Path(source))
        return _load_toml(Path(source))
    agents = _load_agents(source, Path())
    if not agents:
        raise ConfigError(f"{source} has no agents", hint="Assign one at its top level: assistant = Agent(...).")
    return Project(source, agents, Config(runtime=RuntimeConfig(load=(source,))), dict.fromkeys(agents, source))


def shipped_project() -> Project:
    """Return the project that ships with agno_rt: two agents on the embedded model."""
    with resources.as_file(resources.files("agno_rt") / "defaults" / "project") as folder:
        config = load_config(folder / FILE_NAME)
        # Without its agents.py, which is an example to edit in a project of one's own.
        project = _build_project(
            folder / FILE_NAME, attrs.evolve(config, runtime=attrs.evolve(config.runtime, load=()))
        )
    shipped = "the agents that ship with agno_rt"
    return attrs.evolve(project, source=shipped, sources=dict.fromkeys(project.agents, "ships with agno_rt"))


def _load_toml(path: Path) -> Project:
    return _build_project(path, load_config(path))


def _build_project(path: Path, config: Config) -> Project:
    agents = {name: _build_agent(name, table) for name, table in config.agents.items()}
    sources = dict.fromkeys(agents, str(path))
    if config.runtime.load:
        import_from(path.parent)
    for source in config.runtime.load:
        for name, agent in _load_agents(source, path.parent).items():
            if agents.setdefault(name, agent) is not agent:
                hint = "Rename one of them."
                raise ConfigError(f"{path}: there is an agent {name!r} in [agents] and in {source}", hint=hint)
            sources.setdefault(name, source)
    return Project(str(path), agents, config, sources)


def _build_agent(name: str, config: AgentConfig) -> Agent:
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


def _load_agents(source: str, folder: Path) -> dict[str, Agent]:
    module = load_module(source, folder)
    found = [(attribute, value) for attribute, value in tuple(vars(module).items()) if isinstance(value, Agent)]
    return _name_agents(found, source)


def _name_agents(found: Iterable[tuple[str, Agent]], source: str) -> dict[str, Agent]:
    """Return the agents by name; an agent without a name is named after its variable."""
    agents: dict[str, Agent] = {}
    for attribute, value in found:
        agent = value if value.name else attrs.evolve(value, name=attribute)
        other = agents.setdefault(agent.name, agent)
        # One agent under two variables is not a conflict.
        if other is not agent and other is not value:
            raise ConfigError(f"{source} has two agents named {agent.name!r}", hint="Give one of them another name.")
    return agents
