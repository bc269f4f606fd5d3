"""The objects shared by a server's resources, and the rule of ownership. Knows no route."""

from __future__ import annotations

import attrs

from agno_rt import AgnoError, Runtime, Tool, Toolkit
from agno_rt.errors import NotFound
from agno_rt.project import Project
from agno_rt.run_store import Entry, RunRecord, RunStore, unknown_run
from agno_rt_serve.api.parts import Accepts
from agno_rt_serve.api.runner import Runner
from agno_rt_serve.errors import HttpError
from agno_rt_serve.settings import Settings

__all__ = ["Site"]


@attrs.frozen
class Site:
    """The project that is served, and the runtime in which its agents run.

    A request with a user sees that user's runs and sessions; a request without a user sees runs and sessions without an
    owner. Anything else is answered as if it did not exist.
    """

    project: Project
    runtime: Runtime
    runner: Runner
    settings: Settings
    accepts: Accepts

    def tool(self, spec: str) -> Tool | Toolkit | str:
        """Return the tool or toolkit that the spec names, or the spec itself if no plugin provides it."""
        try:
            made = self.runtime.plugins.tool(spec, self.project.config.plugins)
        except AgnoError:
            return spec  # running the agent says why
        return made if isinstance(made, Tool | Toolkit) else spec

    def run_store(self) -> RunStore:
        """Return the memory as a store of runs. Raises `HttpError` 404 if the memory does not store runs."""
        memory = self.runtime.memory
        if isinstance(memory, RunStore):
            return memory
        hint = 'Use a memory that keeps runs: `memory = "sqlite:///agents.db"` in [runtime] of agno-rt.toml.'
        raise HttpError(404, "not_found", "this server does not keep runs", hint)

    async def load_run(self, run: str, user: str | None) -> tuple[RunRecord, list[Entry]]:
        """Return the record and the journal of the user's stored run. Raises `HttpError` 404."""
        store = self.run_store()
        try:
            record, entries = await store.load_run(run)
            if record.user != user:
                raise unknown_run(run)
        except NotFound as exc:
            raise _not_stored(run) from exc
        return record, entries


def _not_stored(run: str) -> HttpError:
    hint = (
        "Runs are kept if their agent has memory=MemoryPolicy(journal=True) or a tool that may pause; with the memory "
        "`memory:`, only until the server ends. A user's run is found only if `user` names the user. To cancel a run "
        "that is not kept, ask the worker that streams it, or hang up."
    )
    return HttpError(404, "not_found", f"this server does not know the run {run!r}", hint)
