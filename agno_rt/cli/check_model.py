"""Asks a model for one word: the answer with its time and cost, or what is wrong."""

from __future__ import annotations

import functools
import time

import attrs
import click
import trio

from agno_rt.cli.report import clean, show_error
from agno_rt.config import Config
from agno_rt.errors import AgnoError, ModelError
from agno_rt.events import Delta
from agno_rt.failures import must_pass, named
from agno_rt.messages import Message, Usage
from agno_rt.models import ModelRequest, ModelSettings, profile_of
from agno_rt.plugins import PluginHost
from agno_rt.runtime import Runtime

__all__ = ["CheckedModel", "check_model", "print_answer"]

_SECONDS = 120.0
"""The longest wait: a local model may have to be loaded first."""
_REQUEST = ModelRequest(
    (Message("user", "Reply with the one word: ready"),), settings=ModelSettings(max_tokens=256), turn=0
)
"""Enough tokens for a model that thinks before it answers."""
_SHOWN = 60


@attrs.frozen
class CheckedModel:
    """The result of a check. `cost` is `None` if the price is unknown; `first` is the time of the first piece.

    `price_as_of` is the day of the price, if known.

    `error` is `None` if the model answered; `hint` is the remedy, `status` the HTTP status, `request_id` the provider's
    name for the request.
    """

    model: str
    answer: str = ""
    seconds: float = 0.0
    first: float | None = None
    usage: Usage | None = None
    cost: float | None = None
    request_id: str = ""
    error: str | None = None
    hint: str = ""
    status: int | None = None
    price_as_of: str = ""


def check_model(config: Config, spec: str) -> CheckedModel:
    """Ask the model of the spec. Raises `UsageError` for a spec without a model."""
    return trio.run(_ask_model, config, spec)


async def _ask_model(config: Config, spec: str) -> CheckedModel:
    host = PluginHost(block=config.runtime.block)
    async with Runtime(plugins=host, settings=config.plugins, origin=str(config.path or "")) as runtime:
        model = runtime.model(spec)
        began = time.monotonic()
        first: list[float] = []

        async def note_first(delta: Delta) -> None:
            if not first:
                first.append(time.monotonic() - began)

        fail = functools.partial(CheckedModel, spec)
        try:
            with trio.fail_after(_SECONDS):
                response = await model.respond(_REQUEST, note_first)
        except trio.TooSlowError:
            return fail(error=f"{spec} did not answer within {_SECONDS:g} s", hint="Is the server busy?")
        except AgnoError as exc:
            status, number = (exc.status, exc.request_id) if isinstance(exc, ModelError) else (None, "")
            return fail(error=exc.message, hint=exc.hint, status=status, request_id=number)
        except BaseException as exc:
            if must_pass(exc):
                raise
            return fail(error=f"the model {spec} failed: {named(exc)}", hint="Report this to the plugin's author.")
        price, usage = profile_of(model).price, response.usage
        cost = usage.cost or (None if price is None else price.of(usage))
        return CheckedModel(
            spec,
            response.content or response.reasoning,
            time.monotonic() - began,
            first[0] if first else None,
            usage,
            cost,
            response.request_id,
            price_as_of=price.as_of if price is not None and cost is not None else "",
        )


def print_answer(checked: CheckedModel) -> None:
    """Print the result of a check: a line on standard output, or an error with its remedy."""
    if checked.error is not None:
        number = f" (request {checked.request_id})" if checked.request_id else ""
        show_error(f"{checked.error}{number}", checked.hint)
        return
    usage = checked.usage or Usage()
    cost = "cost unknown" if checked.cost is None else f"cost ${checked.cost:.6f}"
    if checked.price_as_of:
        cost += f" by the price of {checked.price_as_of}"
    answer = " ".join(checked.answer.split())
    shown = answer if len(answer) <= _SHOWN else f"{answer[:_SHOWN]}..."
    tokens = f"{usage.input_tokens} tokens in, {usage.output_tokens} out"
    click.echo(clean(f"{checked.model} answered in {checked.seconds:.1f} s: {shown!r} ({tokens}, {cost})"))
