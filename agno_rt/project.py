"""A project: the runnables of a Python file, an import path or an agno-rt.toml, with the configuration of a runtime.

The command line and the server start from a project. Without a source and an agno-rt.toml in the working directory,
they take the project that ships with agno_rt, which `agno-rt init` writes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from agno_rt._runtime.declared_names import DeclaredNames
from agno_rt._runtime.sources import import_from, load_module, must_exist
from agno_rt.agent import Agent
from agno_rt.config import FILE_NAME, AgentConfig, Config, ConfigWarning, RuntimeConfig, load_config, settings_error
from agno_rt.errors import ConfigError, NotFound, suggest
from agno_rt.plugins import PluginHost, extra_plugins
from agno_rt.runnable import Runnable
from agno_rt.runtime import Runtime

__all__ = ["Project", "check_tables", "load_project", "shipped_project"]

R = TypeVar("R", bound=Runnable)


@attrs.frozen
class Project:
    """Agents and other runnables by name, and the configuration of their runtime.

    `source` is the project's origin; `sources` has the file or module of each runnable by the runnable's name.
    """

    source: str
    runnables: Mapping[str, Runnable]
    config: Config = Config()
    sources: Mapping[str, str] = attrs.Factory(dict)

    @property
    def agents(self) -> dict[str, Agent]:
        """The runnables that are agents, by name."""
        return {name: each for name, each in self.runnables.items() if isinstance(each, Agent)}

    def runnable(self, name: str) -> Runnable:
        """Return the runnable of a name. Raises `NotFound`, with the nearest name."""
        return _find(name, self.runnables, self.source)

    def agent(self, name: str) -> Agent:
        """Return the agent of a name. Raises `NotFound`, with the nearest name."""
        return _find(name, self.agents, self.source)

    def plugins(self) -> PluginHost:
        """Return a new plugin host without the plugins that the configuration blocks."""
        return PluginHost(block=self.config.runtime.block)

    def runtime(self) -> Runtime:
        """Return a new runtime with the project's configuration and runnables, not yet open.

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
            settings=config.settings,
            observers=config.runtime.observers,
            origin=self.source,
        )
        if self.runnables:
            runtime.add(*self.runnables.values())
        if config.runtime.memory != "memory:":
            _ = runtime.memory  # a wrong URL fails now, and not at the first use of a session
        return runtime


def _find(name: str, known: Mapping[str, R], source: str) -> R:
    found = known.get(name)
    if found is None:
        hint = "" if known else f"It has no agents: write [agents.{name}] with a model, or load a Python file."
        raise NotFound("agent", name, known, where=source, hint=hint)
    return found


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
    runnables = _load_runnables(source, Path())
    if not runnables:
        raise ConfigError(f"{source} has no agents", hint="Assign one at its top level: assistant = Agent(...).")
    return Project(source, runnables, Config(runtime=RuntimeConfig(load=(source,))), dict.fromkeys(runnables, source))


def shipped_project() -> Project:
    """Return the project that ships with agno_rt: two agents on the embedded model."""
    with resources.as_file(resources.files("agno_rt") / "defaults" / "project") as folder:
        config = load_config(folder / FILE_NAME)
        # Without its agents.py, which is an example to edit in a project of one's own.
        project = _build_project(
            folder / FILE_NAME, attrs.evolve(config, runtime=attrs.evolve(config.runtime, load=()))
        )
    shipped = "the agents that ship with agno_rt"
    return attrs.evolve(project, source=shipped, sources=dict.fromkeys(project.runnables, "ships with agno_rt"))


def _load_toml(path: Path) -> Project:
    return _build_project(path, load_config(path))


def _build_project(path: Path, config: Config) -> Project:
    runnables: dict[str, Runnable] = {name: _build_agent(name, table) for name, table in config.agents.items()}
    sources = dict.fromkeys(runnables, str(path))
    if config.runtime.load:
        import_from(path.parent)
    for source in config.runtime.load:
        for name, runnable in _load_runnables(source, path.parent).items():
            if runnables.setdefault(name, runnable) is not runnable:
                hint = "Rename one of them."
                raise ConfigError(f"{path}: there is an agent {name!r} in [agents] and in {source}", hint=hint)
            sources.setdefault(name, source)
    names = DeclaredNames(runnables)
    if config.teams:
        from agno_rt._runtime.build_teams import build_teams  # projects without teams need no modes

        build_teams(config.teams, names)
        sources |= dict.fromkeys(config.teams, str(path))
    if config.workflows:
        from agno_rt._runtime.build_workflows import build_workflows  # projects without workflows need no nodes

        build_workflows(config, names)
        sources |= dict.fromkeys(config.workflows, str(path))
    names.build_all()
    return Project(str(path), runnables, config, sources)


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


def _load_runnables(source: str, folder: Path) -> dict[str, Runnable]:
    module = load_module(source, folder)
    found = [(variable, value) for variable, value in tuple(vars(module).items()) if isinstance(value, Runnable)]
    return _name_runnables(found, source)


def _name_runnables(found: Iterable[tuple[str, Runnable]], source: str) -> dict[str, Runnable]:
    """Return the runnables by name; a runnable without a name is named after its variable."""
    runnables: dict[str, Runnable] = {}
    for variable, value in found:
        runnable = value if value.name else _name_after(variable, value, source)
        other = runnables.setdefault(runnable.name, runnable)
        # One runnable under two variables is not a conflict.
        if other is not runnable and other is not value:
            raise ConfigError(f"{source} has two agents named {runnable.name!r}", hint="Give one of them another name.")
    return runnables


def _name_after(variable: str, value: Runnable, source: str) -> Runnable:
    if not attrs.has(type(value)):
        raise ConfigError(f"{source}: the {value.kind} {variable} has no name", hint=f"Write {variable}.name = ...")
    named: Runnable = attrs.evolve(cast(Any, value), name=variable)
    return named
