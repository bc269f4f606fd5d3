"""The agent named on a command line, and its project. Knows nothing of runs."""

from __future__ import annotations

import difflib
import importlib.util
import os
import sys
from pathlib import Path

import attrs

from agno_rt._runtime.sources import import_from, must_exist
from agno_rt.agent import Agent
from agno_rt.config import FILE_NAME, Config, load_config
from agno_rt.errors import ConfigError, NotFound, UsageError
from agno_rt.plugins import PluginHost, extra_plugins
from agno_rt.project import Project, load_project
from agno_rt.runnable import Runnable
from agno_rt.wrappers.base import Wrapper

__all__ = ["Target", "configuration", "find_agent", "is_agent", "local_config", "model_target"]


_FILES = (".py", ".toml")
"""Suffixes of files that can contain agents."""


@attrs.frozen
class Target:
    """An agent and its project.

    Attributes:
        origin: the file or module of both; empty for the agents that ship with agno_rt
        typed: the options that changed the agent, as a person typed them
    """

    agent: Runnable
    project: Project
    origin: str
    typed: str = ""

    @property
    def provisional(self) -> bool:
        """True if text of the model may turn out not to be the answer.

        Tools and an output type can take several turns; hooks and wrappers of models can restart a turn. A runnable
        that is not an agent has no text of a model of its own.
        """
        agent = self.agent
        if not isinstance(agent, Agent):
            return False
        return bool(agent.tools or agent.hooks) or agent.output is not None or isinstance(agent.model, Wrapper)


def local_config() -> Config:
    """Return the configuration of this folder, or the default without an agno-rt.toml. Raises `ConfigError`."""
    path = Path(FILE_NAME)
    return load_config(path) if path.exists() else Config()


def find_agent(spec: str, config: str | None) -> Target:
    """Find the agent of `spec`: a name in the project, or `FILE.py`, `FILE.toml` or a module, followed by `:NAME`.

    The spec of a model makes an agent of just this model. `config` chooses another project. Raises `UsageError` or a
    subclass, with the nearest names.
    """
    # Like `python` itself, so that modules in this folder can be named, and imported by an agents.py.
    sys.path.insert(0, os.getcwd())
    source, name = _split_spec(spec)
    if source is None:
        project = load_project(config)
        return Target(_find_named_agent(project, name), project, _find_origin(config))
    if source.endswith(_FILES):
        project = load_project(source)
    else:
        host = PluginHost(block=configuration(config).runtime.block)
        if host.provides(spec.partition(":")[0], "models"):
            return model_target(spec, config)
        project = _load_source(source, spec, host)
    agent = project.runnable(name) if name else _find_only_agent(project, source)
    if config is not None:
        project = attrs.evolve(load_project(config), runnables=project.runnables)
    return Target(agent, project, source)


def model_target(spec: str, config: str | None) -> Target:
    """Make an agent of just a model, with the spec as its name. Imports no agent of the project."""
    read = configuration(config)
    source = str(read.path or "")
    return Target(Agent(spec, name=spec), Project(source, {}, read), _find_origin(config))


def is_agent(spec: str, config: str | None) -> bool:
    """Tell whether `spec` is the name of a project's agent, or an existing file or module."""
    source, name = _split_spec(spec)
    if source is None:
        return name in load_project(config).runnables
    if source.endswith(_FILES):
        return Path(source).is_file()
    if not all(part.isidentifier() for part in (*source.split("."), name)):
        return False
    import_from(Path())
    try:
        return importlib.util.find_spec(source) is not None
    except (ImportError, ValueError):
        return False


def configuration(config: str | None) -> Config:
    """Load the configuration of `--config` without importing agents. A Python file has the default configuration."""
    if config is None:
        return local_config()
    if not config.endswith(".toml"):
        return Config()
    must_exist(Path(config))
    return load_config(Path(config))


def _find_origin(config: str | None) -> str:
    return config or (FILE_NAME if Path(FILE_NAME).exists() else "")


def _split_spec(spec: str) -> tuple[str | None, str]:
    if spec.endswith(_FILES):
        return spec, ""
    source, colon, name = spec.rpartition(":")
    return (source, name) if colon else (None, name)


def _find_named_agent(project: Project, name: str) -> Runnable:
    try:
        return project.runnable(name)
    except NotFound as exc:
        if hint := project.plugins().suggest("models", name):
            raise NotFound(
                "agent", name, (), where=project.source, hint=f"If it is a model: {hint[:1].lower()}{hint[1:]}"
            ) from exc
        raise


def _load_source(source: str, spec: str, host: PluginHost) -> Project:
    try:
        return load_project(source)
    except (NotFound, ConfigError) as exc:
        # The module exists, so the error is about its content.
        if Path(f"{source}.py").exists():
            raise
        plugin = spec.partition(":")[0]
        if plugin in extra_plugins() and plugin not in host.names():
            raise NotFound("plugin", plugin, (), where=f"in {spec!r}") from exc
        if hint := host.suggest("models", spec) or _suggest_model(host, plugin, spec):
            raise NotFound("agent", spec, (), hint=hint) from exc
        if isinstance(exc, NotFound) and exc.kind == "module" and plugin in host.names():
            hint = "`agno-rt agents` lists the agents, `agno-rt models` the models."
            raise UsageError(f"{spec!r} is neither an agent nor a model", hint=hint) from exc
        raise


def _suggest_model(host: PluginHost, plugin: str, spec: str) -> str:
    """Return a hint naming the nearest plugin with models, or an empty string."""
    close = difflib.get_close_matches(plugin, {offer.plugin for offer in host.offers("models")}, n=1)
    return f"Did you mean the model {close[0]}{spec.removeprefix(plugin)}?" if close else ""


def _find_only_agent(project: Project, source: str) -> Runnable:
    if len(project.runnables) == 1:
        return next(iter(project.runnables.values()))
    if not project.runnables:
        raise UsageError(f"{source} has no agents", hint="Write a table [agents.NAME] with a `model` in it.")
    names = sorted(project.runnables)
    hint = f"Name one: {', '.join(f'{source}:{name}' for name in names[:12])}."
    raise UsageError(f"{source} has {len(names)} agents", hint=hint)
