"""A table of the project's agents, also shown when a command names no agent."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence

import attrs
import click

from agno_rt.agent import Agent, tool_names
from agno_rt.cli.report import styled
from agno_rt.cli.tables import Column, print_table, print_wrapped
from agno_rt.errors import UsageError
from agno_rt.project import Project, load_project
from agno_rt.runnable import Runnable

__all__ = ["Listed", "ask_which", "list_agents", "name_model", "print_agents"]

_DESCRIPTION = 200
"""The most characters of a description."""
_NARROW = 60
"""Columns of a terminal too narrow for a table."""


@attrs.frozen
class Listed:
    """A row of the table.

    Attributes:
        model: the model's name or spec; for another runnable than an agent its kind and its parts
        tools: names, or the spec of a tool made by a plugin
    """

    name: str
    model: str
    tools: list[str]
    description: str
    source: str


def list_agents(project: Project) -> list[Listed]:
    """Describe each agent and other runnable of the project, without making its model or tools."""
    return [
        Listed(
            name,
            name_model(runnable),
            tool_names(runnable) if isinstance(runnable, Agent) else [],
            _summarize(runnable),
            project.sources.get(name, project.source),
        )
        for name, runnable in project.runnables.items()
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
    """Print each agent in several lines, for a terminal too narrow for the table."""
    for each in agents:
        click.echo(styled(each.name, bold=True), err=err)
        for line in (each.model, ", ".join(each.tools), each.description, each.source):
            if line:
                print_wrapped(line, "  ", err=err)


def ask_which(verb: str, config: str | None) -> UsageError:
    """List the project's agents on stderr, and return the error for a command without an agent."""
    agents = list_agents(load_project(config))
    print_agents(agents, err=True)
    example = agents[0].name if agents else "openai:gpt-5"
    typed = f"agno-rt {verb} {shlex.quote(example)}{_EXAMPLES.get(verb, '')}"
    hint = f"Name an agent: {typed}. Or name a model: `agno-rt models` lists the models."
    return UsageError("no agent is named", hint=hint)


_EXAMPLES = {"run": ' "Hello!"', "map": " inputs.jsonl -o results.jsonl"}


def name_model(runnable: Runnable) -> str:
    """Return the name or the spec of an agent's model; for another runnable its kind and its parts."""
    if isinstance(runnable, Agent):
        return runnable.model if isinstance(runnable.model, str) else runnable.model.name
    parts = ", ".join(part.name or part.kind for part in runnable.parts())
    return f"{runnable.kind} of {parts}" if parts else runnable.kind


def _summarize(runnable: Runnable) -> str:
    """Return the description, or the first paragraph of an agent's instructions, cut to one line of a table."""
    text = runnable.description or (runnable.instructions if isinstance(runnable, Agent) else "")
    paragraph = " ".join(text.strip().partition("\n\n")[0].split()) if isinstance(text, str) else ""
    return paragraph if len(paragraph) <= _DESCRIPTION else f"{paragraph[: _DESCRIPTION - 1].rstrip()}…"
