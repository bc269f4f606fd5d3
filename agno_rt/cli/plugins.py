"""`agno-rt plugins`: what is installed, what each plugin offers, and what failed and why."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from agno_rt.cli.options import State, config_option, debug_option
from agno_rt.cli.report import notice, show_error
from agno_rt.errors import PluginError

if TYPE_CHECKING:
    from agno_rt.config import Config
    from agno_rt.plugins import Offer, PluginInfo

__all__ = ["command"]

_FORMS = {
    "models": "model {plugin}:{name}",
    "tools": "tool {plugin}:{name}",
    "guardrails": "guardrail {plugin}:{name}",
    "memory": "memory {name}:",
    "commands": "command agno-rt {name}",
    "routes": "route /{name}",
}
"""How each kind of thing is written where it is used."""


@click.command("plugins")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
def command(config: str | None, as_json: bool) -> None:
    """List the installed plugins, and what each provides.

    A plugin that fails to load is listed with the reason. Every plugin is imported to find out.
    """
    from agno_rt.plugins import PluginHost

    read = _config(config)
    host = PluginHost(block=read.runtime.block)
    infos = host.plugins()
    if as_json:
        _print_json(infos)
        return
    if sys.stdout.isatty():
        _print_table(infos)
    else:
        _print_plain(infos)
    for info in infos:
        if info.error is not None:
            _show_failure(info.error)
    if read.runtime.block:
        notice(f"blocked by {read.path}: {', '.join(read.runtime.block)}")


def _show_failure(error: PluginError) -> None:
    if click.get_current_context().ensure_object(State).debug:
        traceback.print_exception(error)
    show_error(error.message, error.hint)


def _config(source: str | None) -> Config:
    if source is None:
        from agno_rt.cli.target import here

        return here()
    from agno_rt.project import load_project

    return load_project(source).config


def _print_json(infos: Iterable[PluginInfo]) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode([_as_dict(info) for info in infos])))


def _as_dict(info: PluginInfo) -> dict[str, object]:
    error = info.error
    return {
        "name": info.name,
        "version": info.version,
        "distribution": info.distribution,
        "provides": [{"kind": offer.kind, "name": offer.name, "help": offer.help} for offer in info.offers],
        "observes": info.observes,
        "error": None if error is None else {"code": error.code, "message": error.message, "hint": error.hint},
    }


def _print_plain(infos: Iterable[PluginInfo]) -> None:
    rows = [("NAME", "VERSION", "DISTRIBUTION", "PROVIDES")]
    rows += [(info.name, info.version, info.distribution, _in_one_line(info)) for info in infos]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[3]]).rstrip())


def _in_one_line(info: PluginInfo) -> str:
    provided = [_written(offer) for offer in info.offers] + ["observer"] * info.observes
    return "FAILED" if info.error is not None else "; ".join(provided)


def _print_table(infos: Iterable[PluginInfo]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("plugin", "version", "distribution", "provides", box=SIMPLE_HEAD, pad_edge=False)
    for info in infos:
        style = None if info.error is None else "red"
        table.add_row(info.name, info.version, info.distribution, Text(_cell(info)), style=style)
    Console().print(table)


def _cell(info: PluginInfo) -> str:
    if info.error is not None:
        return "failed: see below"
    lines = [f"{_written(offer)}  {_help(offer)}".rstrip() for offer in info.offers]
    return "\n".join(lines + ["observer"] * info.observes)


def _help(offer: Offer) -> str:
    return f"({offer.help})" if offer.help else ""


def _written(offer: Offer) -> str:
    name = "NAME" if offer.name == "*" else offer.name
    return _FORMS[offer.kind].format(plugin=offer.plugin, name=name)
