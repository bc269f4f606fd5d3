"""`agno-rt graph`: draws an agent, a team or a workflow of the project."""

from __future__ import annotations

import click

from agno_rt.cli.options import complete_agent, config_option, debug_option, svg_option

__all__ = ["command"]


@click.command("graph")
@click.argument("agent", shell_complete=complete_agent)
@svg_option
@config_option
@debug_option
def command(agent: str, svg: str | None, config: str | None) -> None:
    """Draw an agent, a team or a workflow, with everything within.

    Prints Mermaid text, which GitHub and many editors draw. --svg writes a picture instead. Nothing is run. The steps
    of a workflow in code show in the picture of a run: `agno-rt runs show ID --svg FILE`.
    """
    from agno_rt.cli.show_drawing import print_mermaid, write_svg
    from agno_rt.cli.target import find_agent
    from agno_rt.runnable import draw

    drawing = draw(find_agent(agent, config).agent)
    if svg is None:
        print_mermaid(drawing)
    else:
        write_svg(drawing, svg)
