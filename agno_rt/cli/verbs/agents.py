"""`agno-rt agents`: lists the agents of the project, with their models, tools and sources."""

from __future__ import annotations

import os
import sys

import click

from agno_rt.cli.options import config_option, debug_option, json_option

__all__ = ["command"]


@click.command("agents")
@config_option
@json_option
@debug_option
def command(config: str | None, as_json: bool) -> None:
    """List the agents of the project, with their models and tools.

    Outside a project, list the agents that ship with agno_rt.
    """
    from agno_rt.cli.list_agents import list_agents, print_agents
    from agno_rt.cli.tables import print_json_lines
    from agno_rt.project import load_project

    # The path of a console script lacks the current folder, where the project's modules lie.
    sys.path.insert(0, os.getcwd())
    agents = list_agents(load_project(config))
    if as_json:
        print_json_lines(agents)
    else:
        print_agents(agents)
