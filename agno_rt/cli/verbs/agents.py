"""`agno-rt agents`: which agents there are, with their models and tools, and where each is from."""

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

    Without a project here, those that ship with agno_rt are listed.
    """
    from agno_rt.cli.list_agents import list_agents, print_agents
    from agno_rt.cli.tables import print_json_lines
    from agno_rt.project import load_project

    sys.path.insert(0, os.getcwd())
    agents = list_agents(load_project(config))
    if as_json:
        print_json_lines(agents)
    else:
        print_agents(agents)
