"""The protocol of a peer's process and the driver: lines on standard input, a line of JSON for each on standard output.

A peer begins by itself, with `{"versions": {name: version}, "rows": [name, ...], "notes": {row: text},
"most": {row: N}, "import": text}`: its versions, its rows, notes on rows for readers, the most operations of a row in
one request, and the import of a program; the last three may be left out. A peer answers `ROW name N` with
`{"seconds": total}` of doing the row N times, preparation left out, or with `{"bytes": each}`, or with
`{"error": text}`; any other line, and the end of the input, end the process. Output of a framework is dropped, so that
no terminal is measured.

The module imports the standard library only, because it runs in every peer's own environment. Knows no framework.
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
    "BRANCHES",
    "HISTORY",
    "KEPT",
    "STEPS",
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
"""An async function that does a row `times` times and returns the seconds."""

HISTORY = 100
"""Number of messages in the conversation of a row with history."""

AT_ONCE = 1_000
"""Number of simultaneous runs in rows with many."""

STEPS = 10
"""Number of steps, one after another, in a workflow."""

BRANCHES = 100
"""Number of simultaneous steps in a workflow, and of members in a team."""

KEPT = 1_000
"""Most agents whose bytes are counted."""

COUNTING_SECONDS = 5.0
"""Time limit for counting bytes, in seconds: beyond it fewer agents are counted, but at least a tenth."""


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of the distributions here, and of Python."""
    return {name: importlib.metadata.version(name) for name in distributions} | {"Python": platform.python_version()}


def timed(one: Callable[[], Awaitable[object]]) -> Row:
    """Return the row for awaiting `one` again and again; a first call before the timing makes lazy parts."""

    async def row(times: int) -> float:
        await one()
        start = time.perf_counter()
        for _ in range(times):
            await one()
        return time.perf_counter() - start

    return row


def made(make: Callable[[], object]) -> Row:
    """Return the row for making and dropping an object."""

    async def row(times: int) -> float:
        make()
        start = time.perf_counter()
        for _ in range(times):
            make()
        return time.perf_counter() - start

    return row


def concurrent(one: Callable[[], Awaitable[object]]) -> Row:
    """Return the row that awaits many of `one` together, under asyncio."""

    async def row(times: int) -> float:
        await one()
        start = time.perf_counter()
        for _ in range(times):
            await asyncio.gather(*(one() for _ in range(AT_ONCE)))
        return time.perf_counter() - start

    return row


def bytes_each(make: Callable[[], object]) -> float:
    """Return the bytes of each of many objects."""
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
    """Speak the protocol until the driver ends it: `rows` with `run`, and the row `bytes` of the objects of `make`."""
    answers = _take_stdout()
    _write_answer(answers, {"notes": {}, "rows": [*rows, *(["bytes"] if make else [])], **about})
    for line in sys.stdin:
        match line.split():
            case ["ROW", "bytes", _] if make is not None:
                _write_answer(answers, {"bytes": bytes_each(make)})
            case ["ROW", name, times]:
                _write_answer(answers, _answer_row(rows[name], int(times), run))
            case _:
                return


def _answer_row(row: Row, times: int, run: Callable[[Coroutine[Any, Any, float]], float]) -> dict[str, Any]:
    gc.collect()
    try:
        return {"seconds": run(row(times))}
    except Exception as error:  # a framework may raise anything: the row fails, and the others go on
        return {"error": f"{type(error).__name__}: {error}"}


def _take_stdout() -> TextIO:
    """Return standard output for the answers; other prints are dropped from here on."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return answers


def _write_answer(answers: TextIO, answer: Mapping[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
