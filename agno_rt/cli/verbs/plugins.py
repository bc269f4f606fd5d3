"""`agno-rt plugins`: lists the installed plugins, what each provides, and the reasons of failures."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from agno_rt.cli.options import State, config_option, debug_option
from agno_rt.cli.report import notice, show_error, show_warning
from agno_rt.errors import ConfigError, NotFound, PluginError

if TYPE_CHECKING:
    from agno_rt.plugins import Offer, PluginInfo

__all__ = ["command"]

_FORMS = {
    "models": "model {spec}",
    "embedders": "embedder {spec}",
    "rerankers": "reranker {spec}",
    "tools": "tool {spec}",
    "guardrails": "guardrail {spec}",
    "modes": "mode {spec}",
    "context": "context provider {spec}",
    "memory": "memory {name}:",
    "knowledge": "knowledge {name}:",
    "readers": "reader {name}",
    "commands": "command agno-rt {name}",
    "routes": "route /{name}",
}
"""The form in which each kind of thing is written where it is used."""

_FEW = 2
"""Number of things of a kind that a short list names; of more, it has the number alone."""


@click.command("plugins")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("-v", "--verbose", is_flag=True, help="Show everything that each plugin provides.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
def command(names: tuple[str, ...], verbose: bool, config: str | None, as_json: bool) -> None:
    """List the installed plugins, and what each provides.

    With NAME, show everything that these plugins provide. A plugin that fails to load is listed with the reason.
    Listing imports every plugin.
    """
    from agno_rt.plugins import PluginHost

    blocked = _load_blocked(config)
    infos = _select_plugins(PluginHost(block=blocked).plugins(), names)
    if as_json:
        _print_json(infos)
        return
    if verbose or names:
        _print_details(infos)
    elif sys.stdout.isatty():
        _print_short(infos)
    else:
        _print_plain(infos)
    for info in infos:
        if info.error is not None:
            _show_failure(info.error)
    if blocked and not names:
        notice(f"Blocked in [runtime]: {', '.join(blocked)}.")


def _select_plugins(infos: Sequence[PluginInfo], names: tuple[str, ...]) -> Sequence[PluginInfo]:
    """Return the plugins of the names, or all plugins without names. Raises `NotFound`."""
    known = {info.name: info for info in infos}
    for name in names:
        if name not in known:
            raise NotFound("plugin", name, known)
    return [known[name] for name in names] or infos


def _show_failure(error: PluginError) -> None:
    if click.get_current_context().ensure_object(State).debug:
        traceback.print_exception(error)
    show_error(error.message, error.hint)


def _load_blocked(config: str | None) -> tuple[str, ...]:
    """Return the blocked plugins of the configuration. An unreadable agno-rt.toml here is a warning: no blocks."""
    from agno_rt.cli.target import configuration

    try:
        return configuration(config).runtime.block
    except ConfigError as exc:
        if config is not None:
            raise
        show_warning(f"{exc.message}; no plugin is blocked", exc.hint)
        return ()


def _print_json(infos: Iterable[PluginInfo]) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode([_convert_to_dict(info) for info in infos])))


def _convert_to_dict(info: PluginInfo) -> dict[str, object]:
    error = info.error
    return {
        "name": info.name,
        "version": info.version,
        "distribution": info.distribution,
        "provides": [{"kind": offer.kind, "name": offer.name, "help": offer.help} for offer in info.offers],
        "observes": info.observes,
        "error": None if error is None else {"code": error.code, "message": error.message, "hint": error.hint},
    }


def _print_short(infos: Iterable[PluginInfo]) -> None:
    """Print a line for each plugin, cut to the terminal's width."""
    from agno_rt.cli.tables import Column, print_table

    columns = (Column("NAME", whole=True), Column("VERSION", whole=True), Column("PROVIDES"))
    print_table(columns, [(info.name, info.version, _summarize_plugin(info)) for info in infos], empty="No plugins.")
    notice("Details: agno-rt plugins -v, or agno-rt plugins NAME")


def _summarize_plugin(info: PluginInfo) -> str:
    """Summarize what the plugin provides: names, or a number where a kind has many."""
    if info.error is not None:
        return "failed to load, see below"
    kinds: dict[str, list[str]] = {}
    for offer in info.offers:
        # A plugin that takes any name offers `*`.
        kinds.setdefault(offer.kind, []).append(offer.any_name if offer.name == "*" else offer.name)
    shown = [
        f"{kind if len(names) > 1 else kind.removesuffix('s')} {', '.join(names)}"
        if len(names) <= _FEW
        else f"{len(names)} {kind}"
        for kind, names in kinds.items()
    ]
    return "; ".join(shown + ["observer"] * info.observes)


def _print_details(infos: Iterable[PluginInfo]) -> None:
    """Print each plugin with all offers."""
    from agno_rt.cli.report import styled
    from agno_rt.cli.tables import print_wrapped

    for number, info in enumerate(infos):
        if number:
            click.echo()
        click.echo(f"{styled(info.name, bold=True)} {info.version} ({info.distribution})")
        for offer in info.offers:
            print_wrapped(f"{_render_offer(offer)}{f': {offer.help}' if offer.help else ''}", "  ", hang=4)
        if info.observes:
            print_wrapped("observer: sees every event, where `observers` in [runtime] names it", "  ", hang=4)
        if info.error is not None:
            print_wrapped("failed to load, see below", "  ")


def _print_plain(infos: Iterable[PluginInfo]) -> None:
    rows = [("NAME", "VERSION", "DISTRIBUTION", "PROVIDES")]
    rows += [(info.name, info.version, info.distribution, _render_offers(info)) for info in infos]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[3]]).rstrip())


def _render_offers(info: PluginInfo) -> str:
    provided = [_render_offer(offer) for offer in info.offers] + ["observer"] * info.observes
    return "FAILED" if info.error is not None else "; ".join(provided)


def _render_offer(offer: Offer) -> str:
    return _FORMS[offer.kind].format(spec=offer.spec, name=offer.name)
