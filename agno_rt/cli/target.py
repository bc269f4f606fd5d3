"""Which agent a command line means, and the project that it runs in. Knows nothing of runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import attrs

from agno_rt.agent import Agent
from agno_rt.config import FILE_NAME, Config, load_config
from agno_rt.errors import NotFound, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.project import Project, load_project
from agno_rt.wrapping import Wrapper

__all__ = ["Target", "find_agent", "here"]


@attrs.frozen
class Target:
    """An agent and its project. `origin` is the file or module that both are from; empty for those that ship."""

    agent: Agent
    project: Project
    origin: str

    @property
    def provisional(self) -> bool:
        """Whether what the model writes may turn out not to be the answer.

        With tools and an output type there may be several turns; hooks, and models around models, begin a turn anew.
        """
        agent = self.agent
        return bool(agent.tools or agent.hooks) or agent.output is not None or isinstance(agent.model, Wrapper)


def here() -> Config:
    """The configuration of this folder; the default one where there is no agno-rt.toml. Raises `ConfigError`."""
    path = Path(FILE_NAME)
    return load_config(path) if path.exists() else Config()


def find_agent(spec: str, config: str | None) -> Target:
    """The agent that `spec` means: a name in the project, or `FILE.py`, `FILE.toml` or a module, then `:NAME`.

    The project is `config` where it is given. Raises `UsageError` and its kind, with the nearest names.
    """
    # As `python` does it: modules in this folder can be named here, and imported by an agents.py.
    sys.path.insert(0, os.getcwd())
    source, name = _parts(spec)
    if source is None:
        project = load_project(config)
        return Target(project.agent(name), project, config or (FILE_NAME if Path(FILE_NAME).exists() else ""))
    project = _load(source, spec)
    agent = project.agent(name) if name else _only(project, source)
    if config is not None:
        project = attrs.evolve(load_project(config), agents=project.agents)
    return Target(agent, project, source)


def _parts(spec: str) -> tuple[str | None, str]:
    if spec.endswith((".py", ".toml")):
        return spec, ""
    source, colon, name = spec.rpartition(":")
    return (source, name) if colon else (None, name)


def _load(source: str, spec: str) -> Project:
    try:
        return load_project(source)
    except NotFound as exc:
        plugin = source.partition(":")[0]
        if exc.kind == "module" and plugin in PluginHost().names():
            hint = f"Make an agent of it in a Python file, bot = Agent({spec!r}), and run FILE.py:bot."
            raise UsageError(f"{spec!r} is something of the plugin {plugin!r}, not an agent", hint=hint) from exc
        raise


def _only(project: Project, source: str) -> Agent:
    if len(project.agents) == 1:
        return next(iter(project.agents.values()))
    if not project.agents:
        raise UsageError(f"{source} has no agents", hint="Write a table [agents.NAME] with a `model` in it.")
    names = sorted(project.agents)
    hint = f"Say which: {', '.join(f'{source}:{name}' for name in names[:12])}."
    raise UsageError(f"{source} has {len(names)} agents", hint=hint)
