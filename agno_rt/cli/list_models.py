"""A table of the plugins' models, with the reason why a model is not ready. Loads no model, and asks none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

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

__all__ = [
    "ListedModel",
    "expand_specs",
    "find_fault",
    "find_missing",
    "is_form",
    "list_models",
    "print_models",
    "write_price",
]

_FILE = re.compile(r"\bPATH\b")
"""The placeholder for a file name in a spec: there is nothing to check."""


@attrs.frozen
class ListedModel:
    """A row of the table. `ready` is `None` for a form of many models; `missing` is the reason if not ready.

    `media` are the types that the model accepts, `output` is the way to ask for an output type, `price` is for a
    million tokens, and `context` and `max_output` are the most tokens; each is `None` if unknown.
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
    context: int | None = None
    max_output: int | None = None
    kind: str = "model"


def list_models(config: Config, host: PluginHost) -> list[ListedModel]:
    """Describe the models of all plugins: their names, and examples for plugins with any number of models."""
    return trio.run(_describe_models, config, host)


async def _describe_models(config: Config, host: PluginHost) -> list[ListedModel]:
    async with Runtime(plugins=host, settings=config.plugins) as runtime:
        found = []
        for offer in host.offers("models"):
            for spec in expand_specs(offer, config):
                if is_form(spec):
                    found.append(ListedModel(spec, offer.plugin, None, "", "", offer.help))
                    continue
                missing, hint = await find_fault(runtime, spec) or ("", "")
                facts = _read_facts(runtime, spec)
                found.append(ListedModel(spec, offer.plugin, not missing, missing, hint, offer.help, **facts))
        return found


def _read_facts(runtime: Runtime, spec: str) -> dict[str, Any]:
    """Return the columns with facts about a model, as far as they are known."""
    try:
        profile = profile_of(runtime.model(spec))
    except AgnoError:
        return {}  # `find_fault` has told
    return {name: getattr(profile, name) for name in ("media", "output", "price", "context", "max_output")}


async def find_fault(runtime: Runtime, model: str | Model) -> tuple[str, str] | None:
    """Return a message and a hint if the model could not answer, else `None`."""
    for finding in await check_ready(runtime, Agent(model)):
        if finding.agents and finding.level != "note":
            return finding.message, finding.hint
    return None


def is_form(spec: str) -> bool:
    """Return whether the spec stands for any file, so that nothing can be checked."""
    return _FILE.search(spec) is not None


def expand_specs(offer: Offer, config: Config) -> Iterator[str]:
    """Yield the specs of an offer to show: its name, or the plugin's examples for any name."""
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
    columns = (Column("MODEL", whole=True), Column("STATUS", whole=True), Column("PRICE"))
    more = (Column("CONTEXT", right=True), Column("TAKES"), Column("DESCRIPTION"))
    rows = [
        (
            each.spec,
            states[each.ready],
            write_price(each.price),
            _write_tokens(each.context),
            _write_media(each.media),
            each.description,
        )
        for each in models
    ]
    print_table(
        (*columns, *more), rows, empty="No plugin with models is installed. For one: pip install agno-rt-llamacpp"
    )
    for (message, hint), specs in find_missing(models).items():
        notice(f"{', '.join(specs)}: {message}\n  {hint}".rstrip())
    if ready := next((each.spec for each in models if each.ready), ""):
        notice(f'Try: agno-rt run {ready} "Hello!"')


def write_price(price: Price | None) -> str:
    """Return the price of input and output, with the day of the price if known."""
    if price is None:
        return "unknown"
    if not price.input and not price.output:
        return "free"
    return f"{price.input:g} / {price.output:g}{f' ({price.as_of})' if price.as_of else ''}"


def _write_tokens(tokens: int | None) -> str:
    return "unknown" if tokens is None else f"{tokens:,}"


_NOUNS = {"image": "images", "audio": "sound", "video": "video", "application/pdf": "PDF"}


def _write_media(media: Iterable[str] | None) -> str:
    """Return the accepted media in words: `text, images, PDF`."""
    if media is None:
        return "unknown"
    accepted = {type_ for name in media for type_ in (name, name.partition("/")[0])}
    return ", ".join(["text", *(noun for type_, noun in _NOUNS.items() if type_ in accepted)])


def find_missing(models: Iterable[ListedModel]) -> dict[tuple[str, str], list[str]]:
    """Return the specs of the models that are not ready by their reason: a message and a hint."""
    missing: dict[tuple[str, str], list[str]] = {}
    for each in models:
        if each.missing:
            missing.setdefault((each.missing, each.hint), []).append(each.spec)
    return missing
