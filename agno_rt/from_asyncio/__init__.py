"""Runs agents from asyncio programs: FastAPI, notebooks, bots. The one part of agno_rt that knows asyncio.

A runtime lives in a thread of its own, under `trio.run`, and each call crosses over to it and back. trio's guest mode
would save that, but there one slow callback of the program's stops every run, and the runtime belongs to one event
loop, which must keep contextvars as asyncio's own does; a thread serves any number of loops and threads.
"""

from __future__ import annotations

from agno_rt.from_asyncio._runtime import AsyncioRun, AsyncioRuntime, AsyncioStream
from agno_rt.from_asyncio._visit import to_asyncio

__all__ = ["AsyncioRun", "AsyncioRuntime", "AsyncioStream", "to_asyncio"]
