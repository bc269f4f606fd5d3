"""Runs one runnable from synchronous code, in a runtime of its own."""

from __future__ import annotations

from typing import Any

import trio

from agno_rt._decide.input import Input
from agno_rt._drive.scopes import check_outside_trio
from agno_rt._schema.generics import DepsT, OutputT
from agno_rt.result import RunResult
from agno_rt.runnable import Runnable
from agno_rt.runtime import Runtime

__all__ = ["run"]


def run(
    agent: Runnable[DepsT, OutputT],
    input: Input,
    *,
    session: str | None = None,
    user: str | None = None,
    deps: DepsT | None = None,
    **options: Any,
) -> RunResult[OutputT]:
    """Run an agent from synchronous code, in a runtime of its own. `options` are the arguments of `Runtime`.

    Raises as `Runtime.run`, and `UsageError` inside trio. Inside a running asyncio loop `run` blocks everything else
    in the loop and warns with a `ResourceWarning`; not in a notebook, where nothing else waits.
    """
    check_outside_trio()

    async def main() -> RunResult[OutputT]:
        async with Runtime(**options) as runtime:
            return await runtime.run(agent, input, session=session, user=user, deps=deps)

    return trio.run(main)
