"""What a peer's process speaks with the driver: lines on standard input, one line of JSON for each on standard output.

A peer begins by itself, with `{"versions": {name: version}, "rows": [name, ...], "notes": {row: text},
"most": {row: N}, "import": text}`: what it is, the rows that it can do, what a reader should know of one, how many
times one may be asked for at once, and the import that a program begins with; the last three may be left out. It
answers `ROW name N` with `{"seconds": total}` of doing the row N times, preparation left out, or with
`{"bytes": each}`, or with `{"error": text}`; any other line, and the end of the input, end it. Whatever a framework
prints goes nowhere, so that nobody's terminal is measured.

Imports the standard library alone: it runs in every peer's own environment, whose framework it does not know.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import json
import os
import platform
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TextIO

__all__ = [
    "AT_ONCE",
    "HISTORY",
    "KEPT",
    "Row",
    "bytes_each",
    "concurrent",
    "made",
    "run_asyncio",
    "serve",
    "timed",
    "versions",
]

Row = Callable[[int], Coroutine[Any, Any, float]]
"""An async function that does a row so many times and returns the seconds which that took."""

HISTORY = 100
"""The messages that a conversation holds, where a row has one."""

AT_ONCE = 1_000
"""The runs that go on together, where a row has many."""

KEPT = 1_000
"""The agents whose bytes are counted, at most."""

COUNTING_SECONDS = 5.0
"""How long that may take: fewer agents are counted where they take long, a tenth at least."""


def versions(*distributions: str) -> dict[str, str]:
    """The versions of what is installed here, and of Python."""
    return {name: importlib.metadata.version(name) for name in distributions} | {"Python": platform.python_version()}


def timed(one: Callable[[], Awaitable[object]]) -> Row:
    """The row that awaits `one`, time after time; once before that, so that what is derived at first is there."""

    async def row(times: int) -> float:
        await one()
        start = time.perf_counter()
        for _ in range(times):
            await one()
        return time.perf_counter() - start

    return row


def made(make: Callable[[], object]) -> Row:
    """The row that makes an object and lets it go."""

    async def row(times: int) -> float:
        make()
        start = time.perf_counter()
        for _ in range(times):
            make()
        return time.perf_counter() - start

    return row


def concurrent(one: Callable[[], Awaitable[object]]) -> Row:
    """The row that awaits many of `one` together, under asyncio."""

    async def row(times: int) -> float:
        await one()
        start = time.perf_counter()
        for _ in range(times):
            await asyncio.gather(*(one() for _ in range(AT_ONCE)))
        return time.perf_counter() - start

    return row


def bytes_each(make: Callable[[], object]) -> float:
    """The bytes that each of many objects holds."""
    kept: list[object] = [None] * KEPT
    make()
    gc.collect()
    end = time.monotonic() + COUNTING_SECONDS
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for at in range(KEPT):
            kept[at] = make()
            if time.monotonic() > end and at + 1 >= KEPT // 10:
                break
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / (at + 1)
    finally:
        tracemalloc.stop()


def run_asyncio(row: Coroutine[Any, Any, float]) -> float:
    """Run a row under asyncio, in a loop of its own."""
    return asyncio.run(row)


def serve(
    about: Mapping[str, Any],
    rows: Mapping[str, Row],
    *,
    run: Callable[[Coroutine[Any, Any, float]], float] = run_asyncio,
    make: Callable[[], object] | None = None,
) -> None:
    """Speak the protocol until the driver ends it: `rows` with `run`, and the row `bytes` of what `make` makes."""
    answers = _take_stdout()
    _write(answers, {"notes": {}, "rows": [*rows, *(["bytes"] if make else [])], **about})
    for line in sys.stdin:
        match line.split():
            case ["ROW", "bytes", _] if make is not None:
                _write(answers, {"bytes": bytes_each(make)})
            case ["ROW", name, times]:
                _write(answers, _answer(rows[name], int(times), run))
            case _:
                return


def _answer(row: Row, times: int, run: Callable[[Coroutine[Any, Any, float]], float]) -> dict[str, Any]:
    gc.collect()
    try:
        return {"seconds": run(row(times))}
    except Exception as error:  # the framework's, whatever it is: the row is told as failed, and the others go on
        return {"error": f"{type(error).__name__}: {error}"}


def _take_stdout() -> TextIO:
    """Standard output for the answers alone; what is printed from here on goes nowhere."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return answers


def _write(answers: TextIO, answer: Mapping[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
