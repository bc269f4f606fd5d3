"""The toolkit of code mode: the tool `run_code`, beside the described tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from agno_rt.context import RunContext
from agno_rt.errors import BackendError
from agno_rt.tools import Tool, Toolkit, tool
from agno_rt_codemode.settings import CodeSettings
from agno_rt_codemode.stubs import describe_functions

__all__ = ["make_toolkit"]

CLOSE_SECONDS = 5.0
MOST_PROCESSES = 256
"""The most worker processes: programs within tools of programs have processes, too, and do not wait for `at_once`."""

_DESCRIPTION = """\
Run a Python program that calls your other tools as functions. You receive what it prints, and its last line's value.

Use it to call tools many times, or to filter, count and join their results, so that you read only what matters. Call a
tool by its name, with keyword arguments and without `await`; objects and lists are returned as values, all else as
text; a failure is an exception. The program is a subset of Python, with json, re, math and datetime, and without
files, network, clock and other modules. Nothing is kept from one program to the next."""


def make_toolkit(tools: Sequence[Tool | Callable[..., Any]], settings: CodeSettings) -> Toolkit:
    """Return the toolkit of `run_code` and the tools. The worker processes start with the first program."""
    made = tuple(each if isinstance(each, Tool) else tool(each) for each in tools)

    @asynccontextmanager
    async def open_pool() -> AsyncIterator[Sequence[Tool]]:
        import pydantic_monty as monty

        from agno_rt_codemode.program import run_program

        known = {each.name: each for each in made}
        pool = monty.Monty(min_processes=0, max_processes=MOST_PROCESSES, request_timeout=settings.seconds + 5)
        try:
            await trio.to_thread.run_sync(pool.__enter__)
        except FileNotFoundError as exc:
            hint = "Install it anew: pip install --force-reinstall pydantic-monty."
            raise BackendError(f"the program of pydantic-monty is missing: {exc}", hint=hint) from exc

        async def run_code(code: str, context: RunContext) -> str:
            return await run_program(pool, code, context, known, settings)

        functions = f"\n\nFunctions:\n\n{describe_functions(made)}" if made else ""
        # A program that is run again after a crash or a pause finds the results of its calls in the journal.
        runner = tool(run_code, description=f"{_DESCRIPTION}{functions}", idempotent=True, concurrency=settings.at_once)
        try:
            yield (runner, *made)
        finally:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await trio.to_thread.run_sync(pool.__exit__, None, None, None, abandon_on_cancel=True)

    return Toolkit("codemode", open=open_pool)
