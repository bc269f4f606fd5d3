"""Which agent a command line means, and the project that it runs in. Knows nothing of runs."""

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
from agno_rt.wrappers.base import Wrapper

__all__ = ["Target", "configuration", "find_agent", "is_agent", "local_config", "model_target"]


_FILES = (".py", ".toml")
"""How the names of files end that agents may be in."""


@attrs.frozen
class Target:
    """An agent and its project. `origin` is the file or module that both are from; empty for those that ship.

    `typed` are the options that changed the agent.
    """

    agent: Agent
    project: Project
    origin: str
    typed: str = ""

    @property
    def provisional(self) -> bool:
        """Whether what the model writes may turn out not to be the answer.

        With tools and an output type there may be several turns; hooks, and models around models, begin a turn anew.
        """
        agent = self.agent
        return bool(agent.tools or agent.hooks) or agent.output is not None or isinstance(agent.model, Wrapper)


def local_config() -> Config:
    """The configuration of this folder; the default one where there is no agno-rt.toml. Raises `ConfigError`."""
    path = Path(FILE_NAME)
    return load_config(path) if path.exists() else Config()


def find_agent(spec: str, config: str | None) -> Target:
    """Find the agent that `spec` means: a name in the project, or `FILE.py`, `FILE.toml` or a module, then `:NAME`.

    A model's spec means an agent of that model. The project is `config` where it is given. Raises `UsageError` and its
    kind, with the nearest names.
    """
    # As `python` does it: modules in this folder can be named here, and imported by an agents.py.
    sys.path.insert(0, os.getcwd())
    source, name = _parts(spec)
    if source is None:
        project = load_project(config)
        return Target(_named(project, name), project, _origin(config))
    if source.endswith(_FILES):
        project = load_project(source)
    else:
        host = PluginHost(block=configuration(config).runtime.block)
        if host.provides(spec.partition(":")[0], "models"):
            return model_target(spec, config)
        project = _load(source, spec, host)
    agent = project.agent(name) if name else _only(project, source)
    if config is not None:
        project = attrs.evolve(load_project(config), agents=project.agents)
    return Target(agent, project, source)


def model_target(spec: str, config: str | None) -> Target:
    """Make an agent of a model alone, which has its spec for a name. No agent of the project is imported."""
    read = configuration(config)
    source = str(read.path or "")
    return Target(Agent(spec, name=spec), Project(source, {}, read), _origin(config))


def is_agent(spec: str, config: str | None) -> bool:
    """Whether `spec` is the name of an agent of the project, or says where one is."""
    source, name = _parts(spec)
    if source is None:
        return name in load_project(config).agents
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
    """The configuration that `--config` means, without any of its agents; that of a Python file is the default one."""
    if config is None:
        return local_config()
    if not config.endswith(".toml"):
        return Config()
    must_exist(Path(config))
    return load_config(Path(config))


def _origin(config: str | None) -> str:
    return config or (FILE_NAME if Path(FILE_NAME).exists() else "")


def _parts(spec: str) -> tuple[str | None, str]:
    if spec.endswith(_FILES):
        return spec, ""
    source, colon, name = spec.rpartition(":")
    return (source, name) if colon else (None, name)


def _named(project: Project, name: str) -> Agent:
    try:
        return project.agent(name)
    except NotFound as exc:
        if hint := project.plugins().suggest("models", name):
            raise NotFound(
                "agent", name, (), where=project.source, hint=f"If it is a model: {hint[:1].lower()}{hint[1:]}"
            ) from exc
        raise


def _load(source: str, spec: str, host: PluginHost) -> Project:
    try:
        return load_project(source)
    except (NotFound, ConfigError) as exc:
        if Path(f"{source}.py").exists():
            raise
        plugin = spec.partition(":")[0]
        if plugin in extra_plugins() and plugin not in host.names():
            raise NotFound("plugin", plugin, (), where=f"in {spec!r}") from exc
        if hint := host.suggest("models", spec) or _nearest(host, plugin, spec):
            raise NotFound("agent", spec, (), hint=hint) from exc
        if isinstance(exc, NotFound) and exc.kind == "module" and plugin in host.names():
            hint = "`agno-rt agents` lists the agents, `agno-rt models` the models."
            raise UsageError(f"{spec!r} is neither an agent nor a model", hint=hint) from exc
        raise


def _nearest(host: PluginHost, plugin: str, spec: str) -> str:
    """Return a hint for the model that is meant, where a plugin with models has nearly the name."""
    close = difflib.get_close_matches(plugin, {offer.plugin for offer in host.offers("models")}, n=1)
    return f"Did you mean the model {close[0]}{spec.removeprefix(plugin)}?" if close else ""


def _only(project: Project, source: str) -> Agent:
    if len(project.agents) == 1:
        return next(iter(project.agents.values()))
    if not project.agents:
        raise UsageError(f"{source} has no agents", hint="Write a table [agents.NAME] with a `model` in it.")
    names = sorted(project.agents)
    hint = f"Say which: {', '.join(f'{source}:{name}' for name in names[:12])}."
    raise UsageError(f"{source} has {len(names)} agents", hint=hint)
