"""Runs one runnable on many inputs, a bounded number at once. Knows no runtime: the caller passes the run function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, TypeAlias

import trio

from agno_rt._decide.input import Input
from agno_rt._drive.scopes import raise_first
from agno_rt._schema.generics import OutputT
from agno_rt.errors import AgnoError, UsageError
from agno_rt.failures import add_note
from agno_rt.result import RunResult

__all__ = ["CONCURRENCY", "OnError", "OnResult", "check_map", "map_runs"]

CONCURRENCY = 32
"""Default number of runs at once: enough to hide a network's delay, few enough for most providers' limits."""

OnError: TypeAlias = Literal["raise", "keep"]
OnResult: TypeAlias = Callable[[int, RunResult], object]


async def map_runs(
    run: Callable[[Input], Awaitable[RunResult[OutputT]]],
    inputs: Iterable[Input],
    concurrency: int,
    on_error: OnError,
    on_result: OnResult | None,
) -> list[RunResult[OutputT]]:
    """Run each input, and return the results in the inputs' order. See `Runtime.map`."""
    results: dict[int, RunResult[OutputT]] = {}
    # The workers share one iterator: each input is taken once, and only when a worker is free.
    places = enumerate(inputs)

    async def work() -> None:
        for at, given in places:
            try:
                result = await run(given)
            except AgnoError as exc:
                if on_error == "raise":
                    add_note(exc, f"agno_rt: at input {at} of the map")
                    raise
                result = exc.result or RunResult("", "failed", error=exc)
            results[at] = result
            if on_result is not None:
                on_result(at, result)

    try:
        async with trio.open_nursery() as nursery:
            for _ in range(concurrency):
                nursery.start_soon(work)
    except BaseExceptionGroup as group:
        raise_first(group)
    return [results[at] for at in range(len(results))]


def check_map(concurrency: object, on_error: object) -> None:
    """Raise `UsageError` for options that `map_runs` does not accept."""
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
        raise UsageError(f"concurrency of a map is {concurrency!r}", hint="Give a whole number of at least 1.")
    if on_error not in ("raise", "keep"):
        raise UsageError(f"on_error of a map is {on_error!r}", hint="Give 'raise' or 'keep'.")
