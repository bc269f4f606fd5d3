"""Gives a run the facts about the user, and the model the tools to keep facts. Knows no runtime."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from agno_rt._drive.job import Job
from agno_rt.errors import UsageError
from agno_rt.memory import FactStore, MemoryBackend, UserMemory
from agno_rt.tools import Tool

__all__ = ["UserFacts"]


class UserFacts:
    """Gives the runs of one runtime facts about users, and the tools for facts, made once."""

    def __init__(self) -> None:
        self._tools: Mapping[str, Tool] | None = None

    def give(self, job: Job, policy: UserMemory, store: MemoryBackend) -> None:
        """Give the run the store and the tools. Raises `UsageError` for a memory backend without facts."""
        if not isinstance(store, FactStore):
            hint = "Use one that does, such as 'memory:' or 'sqlite:///agents.db', or leave out MemoryPolicy(facts=)."
            raise UsageError(f"the memory backend {type(store).__name__} does not store facts about users", hint=hint)
        job.facts = store
        if policy.tools:
            if self._tools is None:
                from agno_rt.facts import fact_tools  # only runs with such tools need the module

                self._tools = {tool.name: tool for tool in fact_tools(store)}
            # A copy for this run: other runs of the agent may have no user.
            own = job.resolved.tools
            offered = (*(tool for name, tool in self._tools.items() if name not in own), *job.resolved.offered)
            tools = {**self._tools, **own}
            job.resolved = msgspec.structs.replace(job.resolved, tools=tools, offered=offered, nests=True)
