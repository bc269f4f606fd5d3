"""What the resources of one server share, and the rule of what belongs to whom. Knows no route."""

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
    """The project that is served, in the runtime in which its agents run.

    What belongs to a user is shown to whoever names the user, and what belongs to nobody to whoever names none. To
    everybody else it is as if it were not there.
    """

    project: Project
    runtime: Runtime
    runner: Runner
    settings: Settings
    accepts: Accepts

    def tool(self, spec: str) -> Tool | Toolkit | str:
        """Return what the spec of a tool names; the spec itself where nobody provides it."""
        try:
            made = self.runtime.plugins.tool(spec, self.project.config.plugins)
        except AgnoError:
            return spec  # the runtime says why, to whoever runs the agent
        return made if isinstance(made, Tool | Toolkit) else spec

    def run_store(self) -> RunStore:
        """Return the memory as a store of runs. Raises `HttpError` 404 where it stores none."""
        memory = self.runtime.memory
        if isinstance(memory, RunStore):
            return memory
        hint = 'Use a memory that does, as in `memory = "sqlite:///agents.db"` in [runtime] of agno-rt.toml.'
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
        "Runs are kept where their agent has memory=MemoryPolicy(journal=True) or a tool that may pause it, and, with "
        "the memory `memory:`, as long as the server runs. A run of a user is found where `user` names the user. To "
        "cancel a run that is not kept, ask the worker that streams it, or hang up."
    )
    return HttpError(404, "not_found", f"this server knows no run {run!r}", hint)
