"""The request that a task answers, for the records of the runs that begin in the task."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["REQUEST"]

REQUEST: ContextVar[str | None] = ContextVar("agno_rt_request", default=None)
"""The id of the request that this task answers, as the server's log and the client know the request.

A server sets the id before it runs anything: `REQUEST.set("7c2f-1")`. Each stored run that begins in the task, or in a
task started by the task, keeps the id as `RunRecord.request`.
"""
