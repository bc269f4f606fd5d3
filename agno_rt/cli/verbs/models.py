"""`agno-rt models`: lists the models of each plugin, how to write them, and what each lacks."""

from __future__ import annotations

import click

from agno_rt.cli.options import config_option, debug_option, json_option

__all__ = ["command"]


@click.command("models")
@config_option
@json_option
@debug_option
def command(config: str | None, as_json: bool) -> None:
    """List the models that plugins provide, and what each lacks.

    Many plugins can reach more models than are listed: their entries are examples, in which MODEL stands for a name and
    PATH for a file. No model is loaded, and no server is asked.
    """
    from agno_rt.cli.list_models import list_models, print_models
    from agno_rt.cli.report import show_error
    from agno_rt.cli.tables import print_json_lines
    from agno_rt.cli.target import configuration
    from agno_rt.plugins import PluginHost

    read = configuration(config)
    host = PluginHost(block=read.runtime.block)
    models = list_models(read, host)
    if as_json:
        print_json_lines(models)
    else:
        print_models(models)
    for error in host.failures.values():
        show_error(error.message, error.hint)
