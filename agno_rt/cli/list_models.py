"""A table of the plugins' models, with the reason why a model is not ready. Loads no model, and asks none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import attrs
import trio

from agno_rt.agent import Agent
from agno_rt.cli.report import notice
from agno_rt.cli.tables import Column, print_table
from agno_rt.config import Config
from agno_rt.errors import AgnoError
from agno_rt.failures import must_pass
from agno_rt.models import Model, OutputMode, Price, profile_of
from agno_rt.plugins import Offer, PluginHost
from agno_rt.readiness import check_ready
from agno_rt.runtime import Runtime

__all__ = ["ListedModel", "find_fault", "find_missing", "list_models", "print_models"]

_FILE = re.compile(r"\bPATH\b")
"""The placeholder for a file name in a spec: there is nothing to check."""


@attrs.frozen
class ListedModel:
    """A row of the table. `ready` is `None` for a form of many models; `missing` is the reason if not ready.

    `media` are the types that the model accepts, `output` is the way to ask for an output type, and `price` is for a
    million tokens; each is `None` if unknown.
    """

    spec: str
    plugin: str
    ready: bool | None
    missing: str
    hint: str
    description: str
    media: tuple[str, ...] | None = None
    output: OutputMode | None = None
    price: Price | None = None


def list_models(config: Config, host: PluginHost) -> list[ListedModel]:
    """Describe the models of all plugins: their names, and examples for plugins with any number of models."""
    return trio.run(_describe_models, config, host)


async def _describe_models(config: Config, host: PluginHost) -> list[ListedModel]:
    async with Runtime(plugins=host, settings=config.plugins) as runtime:
        found = []
        for offer in host.offers("models"):
            for spec in _expand_specs(offer, config):
                if _FILE.search(spec):
                    found.append(ListedModel(spec, offer.plugin, None, "", "", offer.help))
                    continue
                missing, hint = await find_fault(runtime, spec) or ("", "")
                facts = _read_facts(runtime, spec)
                found.append(ListedModel(spec, offer.plugin, not missing, missing, hint, offer.help, *facts))
        return found


def _read_facts(runtime: Runtime, spec: str) -> tuple[tuple[str, ...] | None, OutputMode | None, Price | None]:
    """Return the media, the output mode and the price of a model, as far as they are known."""
    try:
        profile = profile_of(runtime.model(spec))
    except AgnoError:
        return None, None, None  # `find_fault` has told
    return profile.media, profile.output, profile.price


async def find_fault(runtime: Runtime, model: str | Model) -> tuple[str, str] | None:
    """Return a message and a hint if the model could not answer, else `None`."""
    for finding in await check_ready(runtime, Agent(model)):
        if finding.agents and finding.level != "note":
            return finding.message, finding.hint
    return None


def _expand_specs(offer: Offer, config: Config) -> Iterator[str]:
    if offer.name != "*":
        yield f"{offer.plugin}:{offer.name}"
        return
    try:
        names = list(offer.examples(config.plugins.get(offer.plugin, {}))) if offer.examples else []
    except BaseException as exc:
        # A failure in the examples of a plugin must not hide the models of the other plugins.
        if must_pass(exc):
            raise
        names = []
    yield from (f"{offer.plugin}:{name}" for name in names or ["PATH"])


def print_models(models: Sequence[ListedModel]) -> None:
    """Print a table of the models, and below the table each reason why models are not ready."""
    states = {True: "ready", False: "not ready", None: ""}
    columns = (Column("MODEL", whole=True), Column("STATUS", whole=True), Column("PRICE"), Column("DESCRIPTION"))
    rows = [(each.spec, states[each.ready], _write_price(each.price), each.description) for each in models]
    print_table(columns, rows, empty="No plugin with models is installed. For one: pip install agno-rt-llamacpp")
    for (message, hint), specs in find_missing(models).items():
        notice(f"{', '.join(specs)}: {message}\n  {hint}".rstrip())
    if ready := next((each.spec for each in models if each.ready), ""):
        notice(f'Try: agno-rt run {ready} "Hello!"')


def _write_price(price: Price | None) -> str:
    """Return the price of input and output, with the date if known."""
    if price is None:
        return "unknown"
    return f"{price.input:g} / {price.output:g}{f' ({price.as_of})' if price.as_of else ''}"


def find_missing(models: Iterable[ListedModel]) -> dict[tuple[str, str], list[str]]:
    """Return the specs of the models that are not ready by their reason: a message and a hint."""
    missing: dict[tuple[str, str], list[str]] = {}
    for each in models:
        if each.missing:
            missing.setdefault((each.missing, each.hint), []).append(each.spec)
    return missing
