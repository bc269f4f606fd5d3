"""A table of the plugins' embedders and rerankers, and a check that asks one of them. Loads none for the table."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import attrs
import click
import trio

from agno_rt.cli.list_models import expand_specs, is_form, write_price
from agno_rt.cli.report import clean, notice, show_error
from agno_rt.cli.tables import Column, print_table
from agno_rt.config import Config
from agno_rt.errors import AgnoError, ModelError
from agno_rt.failures import must_pass, named
from agno_rt.knowledge.embedders import embedder_profile
from agno_rt.models import Price
from agno_rt.plugins import PluginHost
from agno_rt.runtime import Runtime

__all__ = ["CheckedPart", "Kind", "ListedPart", "check_part", "find_kind", "list_parts", "print_check", "print_parts"]

Kind = Literal["model", "embedder", "reranker"]

_SECONDS = 120.0
"""The longest wait: a local embedder may have to be loaded first."""
_TEXTS = ("The cat sleeps on the sofa.", "Taxes are due in April.")
_QUERY = "Where does the cat sleep?"


@attrs.frozen
class ListedPart:
    """A row of the table. `ready` is `None` for a form of many parts; `missing` is the reason if not ready.

    `dimensions` is the length of vectors, `max_tokens` the most tokens of a text, and `price` is for a million tokens;
    each is `None` if unknown.
    """

    spec: str
    kind: Kind
    plugin: str
    ready: bool | None
    missing: str
    hint: str
    description: str
    dimensions: int | None = None
    max_tokens: int | None = None
    price: Price | None = None


@attrs.frozen
class CheckedPart:
    """The result of a check of an embedder or a reranker. `error` is `None` if there was an answer."""

    spec: str
    kind: Kind
    seconds: float = 0.0
    dimensions: int | None = None
    tokens: int = 0
    error: str | None = None
    hint: str = ""
    status: int | None = None
    request_id: str = ""


def list_parts(config: Config, host: PluginHost) -> list[ListedPart]:
    """Describe the embedders and rerankers of all plugins: their names, and examples for plugins with any number."""
    return trio.run(_describe_parts, config, host)


async def _describe_parts(config: Config, host: PluginHost) -> list[ListedPart]:
    found = []
    async with Runtime(plugins=host, settings=config.plugins) as runtime:
        kinds: tuple[Kind, ...] = ("embedder", "reranker")
        for kind in kinds:
            for offer in host.offers(f"{kind}s"):
                for spec in expand_specs(offer, config):
                    if is_form(spec):
                        found.append(ListedPart(spec, kind, offer.plugin, None, "", "", offer.help))
                        continue
                    found.append(
                        await _describe_part(runtime, ListedPart(spec, kind, offer.plugin, True, "", "", offer.help))
                    )
    return found


async def _describe_part(runtime: Runtime, row: ListedPart) -> ListedPart:
    try:
        part: Any = runtime.embedder(row.spec) if row.kind == "embedder" else runtime.reranker(row.spec)
        if row.kind == "embedder":
            profile = embedder_profile(part)
            facts = {"dimensions": part.dimensions, "max_tokens": profile.max_tokens, "price": profile.price}
            row = attrs.evolve(row, **facts)
        check = getattr(part.inner, "check_ready", None)
        if inspect.iscoroutinefunction(check):
            await check()
        elif check is not None:
            await trio.to_thread.run_sync(check)
    except AgnoError as exc:
        return attrs.evolve(row, ready=False, missing=exc.message, hint=exc.hint)
    except BaseException as exc:
        if must_pass(exc):
            raise
        return attrs.evolve(row, ready=False, missing=f"{row.spec} failed: {named(exc)}", hint=_REPORT)
    return row


def print_parts(parts: Sequence[ListedPart]) -> None:
    """Print a table of the embedders and rerankers; nothing without any."""
    if not parts:
        return
    states = {True: "ready", False: "not ready", None: ""}
    click.echo()
    columns = (
        Column("EMBEDDER, RERANKER", whole=True),
        Column("STATUS", whole=True),
        Column("NUMBERS", right=True),
        Column("PRICE"),
        Column("DESCRIPTION"),
    )
    rows = [
        (each.spec, states[each.ready], _write_numbers(each), write_price(each.price), each.description)
        for each in parts
    ]
    print_table(columns, rows, empty="")
    missing: dict[tuple[str, str], list[str]] = {}
    for each in parts:
        if each.missing:
            missing.setdefault((each.missing, each.hint), []).append(each.spec)
    for (message, hint), specs in missing.items():
        notice(f"{', '.join(specs)}: {message}\n  {hint}".rstrip())


def find_kind(config: Config, host: PluginHost, spec: str) -> Kind:
    """Return the kind of the part that a spec means, where a plugin takes any name as a model, too.

    A spec in the lists of embedders or rerankers is one. Otherwise its name decides: `...embed...`, `...rerank...`.
    """
    bare = spec.rpartition("@")[0] or spec
    kinds: tuple[Kind, ...] = ("embedder", "reranker")
    for kind in kinds:
        if any(each in (spec, bare) for each in _list_specs(config, host, kind)):
            return kind
    name = spec.lower()
    return "reranker" if "rerank" in name else "embedder" if "embed" in name else "model"


def _list_specs(config: Config, host: PluginHost, kind: Kind) -> Iterator[str]:
    for offer in host.offers(f"{kind}s"):
        yield from expand_specs(offer, config)


def check_part(config: Config, spec: str, kind: Kind) -> CheckedPart:
    """Ask the embedder or the reranker of the spec about two texts. Raises `UsageError` for an unknown spec."""
    return trio.run(_ask_part, config, spec, kind)


async def _ask_part(config: Config, spec: str, kind: Kind) -> CheckedPart:
    host = PluginHost(block=config.runtime.block)
    fail = functools.partial(CheckedPart, spec, kind)
    async with Runtime(plugins=host, settings=config.plugins, origin=str(config.path or "")) as runtime:
        part: Any = runtime.embedder(spec) if kind == "embedder" else runtime.reranker(spec)
        began = time.monotonic()
        try:
            with trio.fail_after(_SECONDS):
                if kind == "reranker":
                    await part.rerank(_QUERY, _TEXTS)
                    return CheckedPart(spec, kind, time.monotonic() - began)
                found = await part.embed(_TEXTS)
                return CheckedPart(
                    spec, kind, time.monotonic() - began, len(found.vectors[0]), found.usage.input_tokens
                )
        except trio.TooSlowError:
            return fail(error=f"{spec} did not answer within {_SECONDS:g} s", hint="Is the server busy?")
        except AgnoError as exc:
            status, number = (exc.status, exc.request_id) if isinstance(exc, ModelError) else (None, "")
            return fail(error=exc.message, hint=exc.hint, status=status, request_id=number)
        except BaseException as exc:
            if must_pass(exc):
                raise
            return fail(error=f"the {kind} {spec} failed: {named(exc)}", hint=_REPORT)


def print_check(checked: CheckedPart) -> None:
    """Print the result of a check: a line on standard output, or an error with its remedy."""
    if checked.error is not None:
        number = f" (request {checked.request_id})" if checked.request_id else ""
        show_error(f"{checked.error}{number}", checked.hint)
        return
    did = "ranked 2 texts"
    if checked.kind == "embedder":
        tokens = f", {checked.tokens} tokens" if checked.tokens else ""
        did = f"made 2 vectors of {checked.dimensions} numbers{tokens}"
    click.echo(clean(f"{checked.spec}, {_ARTICLES[checked.kind]}, {did} in {checked.seconds:.1f} s"))


_ARTICLES = {"embedder": "an embedder", "reranker": "a reranker", "model": "a model"}
_REPORT = "Report this to the plugin's author."


def _write_numbers(part: ListedPart) -> str:
    return str(part.dimensions) if part.dimensions else ""
