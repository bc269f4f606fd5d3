"""Runs agents from asyncio programs: FastAPI, notebooks, bots. The one part of agno_rt that knows asyncio.

A runtime lives in a thread of its own, under `trio.run`, and each call crosses over to the thread and back. trio's
guest mode would save the crossing, but one slow callback of the program would then stop every run, and the runtime
would belong to one event loop with asyncio's own handling of contextvars. A thread serves any number of loops and
threads.
"""

from __future__ import annotations

from agno_rt.from_asyncio._runtime import AsyncioRun, AsyncioRuntime, AsyncioStream, AsyncioWithinStream
from agno_rt.from_asyncio._visit import to_asyncio

__all__ = ["AsyncioRun", "AsyncioRuntime", "AsyncioStream", "AsyncioWithinStream", "to_asyncio"]
