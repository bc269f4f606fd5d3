"""The agents of a project as a table shows them, also for those who named none."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import attrs
import click

from agno_rt.agent import Agent
from agno_rt.cli.report import styled
from agno_rt.cli.tables import Column, print_table, print_wrapped
from agno_rt.errors import UsageError
from agno_rt.project import Project, load_project
from agno_rt.tools import Tool, Toolkit, tool

__all__ = ["Listed", "ask_which", "list_agents", "print_agents"]

_DESCRIPTION = 200
_NARROW = 60


@attrs.frozen
class Listed:
    """An agent as it is listed: `tools` by their names, or by the spec of those that a plugin makes."""

    name: str
    model: str
    tools: list[str]
    description: str
    source: str


def list_agents(project: Project) -> list[Listed]:
    """Describe each agent of the project. Nothing that an agent names is made for it."""
    return [
        Listed(name, _model(agent), _tools(agent), _description(agent), project.sources.get(name, project.source))
        for name, agent in project.agents.items()
    ]


def print_agents(agents: Sequence[Listed], *, err: bool = False) -> None:
    """Print a table of the agents."""
    if (sys.stderr if err else sys.stdout).isatty() and shutil.get_terminal_size().columns < _NARROW:
        _print_blocks(agents, err=err)
        return
    columns = (Column("NAME", whole=True), Column("MODEL"), Column("TOOLS"), Column("FROM"), Column("DESCRIPTION"))
    rows = [(each.name, each.model, ", ".join(each.tools), each.source, each.description) for each in agents]
    print_table(columns, rows, empty="There are no agents here.", err=err)


def _print_blocks(agents: Sequence[Listed], *, err: bool) -> None:
    """Print an agent in several lines, where a table has no room."""
    for each in agents:
        click.echo(styled(each.name, bold=True), err=err)
        for line in (each.model, ", ".join(each.tools), each.description, each.source):
            if line:
                print_wrapped(line, "  ", err=err)


def ask_which(verb: str, config: str | None) -> UsageError:
    """List the agents there are, on standard error, and return the error of a command that names none."""
    agents = list_agents(load_project(config))
    print_agents(agents, err=True)
    example = agents[0].name if agents else "openai:gpt-5"
    typed = f"agno-rt {verb} {shlex.quote(example)}{_REST.get(verb, '')}"
    hint = f"Name one: {typed}. Or name a model: `agno-rt models` lists them."
    return UsageError("no agent is named", hint=hint)


_REST = {"run": ' "Hello!"', "map": " inputs.jsonl -o results.jsonl"}


def _model(agent: Agent[Any, Any]) -> str:
    return agent.model if isinstance(agent.model, str) else agent.model.name


def _tools(agent: Agent[Any, Any]) -> list[str]:
    names: list[str] = []
    for entry in agent.tools:
        if isinstance(entry, str):
            names.append(entry)
        elif isinstance(entry, Toolkit):
            names += [entry.name] if entry.open is not None else [each.name for each in entry.tools]
        else:
            names.append((entry if isinstance(entry, Tool) else tool(entry)).name)
    return names


def _description(agent: Agent[Any, Any]) -> str:
    """What the agent says of itself, or else how its instructions begin."""
    text = getattr(agent, "description", "") or agent.instructions
    paragraph = " ".join(text.strip().partition("\n\n")[0].split()) if isinstance(text, str) else ""
    return paragraph if len(paragraph) <= _DESCRIPTION else f"{paragraph[: _DESCRIPTION - 1].rstrip()}…"
