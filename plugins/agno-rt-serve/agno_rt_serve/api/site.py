"""The objects shared by a server's resources, and the rule of ownership. Knows no route."""

from __future__ import annotations

from typing import Any

import attrs

from agno_rt import AgnoError, Runnable, Runtime, Tool, Toolkit
from agno_rt.agent import memory_of
from agno_rt.errors import NotFound
from agno_rt.project import Project
from agno_rt.run_store import Entry, EventLog, RunRecord, RunStore, unknown_run
from agno_rt_serve.api.parts import Accepts
from agno_rt_serve.api.runner import Runner
from agno_rt_serve.auth.caller import caller_of, reach_of, scope_kind
from agno_rt_serve.auth.scopes import ALL, RUNNABLES
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Scope
from agno_rt_serve.settings import Settings

__all__ = ["Site", "can_be_logged"]


@attrs.frozen
class Site:
    """The project that is served, and the runtime in which its agents run.

    A request with a user sees that user's runs and sessions; a request without a user sees runs and sessions without an
    owner. Anything else is answered as if it did not exist. See `auth.caller.Reach`.
    """

    project: Project
    runtime: Runtime
    runner: Runner
    settings: Settings
    accepts: Accepts
    _logged: dict[str, Runnable] = attrs.field(factory=dict, init=False, repr=False)

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

    def event_log(self) -> EventLog:
        """Return the memory as a log of runs' events. Raises `HttpError` 501 if the memory does not log events."""
        memory = self.run_store()
        if isinstance(memory, EventLog):
            return memory
        hint = 'Use a memory that does: `memory = "sqlite:///agents.db"` in [runtime] of agno-rt.toml.'
        raise HttpError(501, "not_supported", "this server's memory does not keep the events of runs", hint)

    def logged(self, runnable: Runnable) -> Runnable:
        """Return the runnable with a memory policy that stores its runs and logs their events.

        Raises `HttpError` 501 if the memory does not log events, or the runnable has no policy to change.
        """
        self.event_log()
        found = self._logged.get(runnable.name)
        if found is None:
            if not can_be_logged(runnable):
                hint = "Leave out background, disconnect, webhook and the Idempotency-Key."
                raise HttpError(501, "not_supported", f"runs of {runnable.name!r} cannot be stored", hint)
            policy = attrs.evolve(memory_of(runnable.memory), journal=True, events=True)
            changed: Any = runnable
            found = self._logged[runnable.name] = attrs.evolve(changed, memory=policy)
        return found

    def may(self, scope: Scope, action: str, agent: str) -> bool:
        """Return whether the caller may do this with runs of the runnable."""
        caller = caller_of(scope)
        return caller.scopes is ALL or caller.may(action, self._kind_of(agent), agent)

    def check(self, scope: Scope, action: str, agent: str) -> None:
        """Raise `HttpError` 403 if the caller may not do this with runs of the runnable."""
        caller_of(scope).check(action, self._kind_of(agent), agent)

    def _kind_of(self, agent: str) -> str:
        found = self.project.runnables.get(agent)
        return RUNNABLES[0] if found is None else scope_kind(found)

    async def load_run(
        self, scope: Scope, run: str, said: str | None, action: str = "read"
    ) -> tuple[RunRecord, list[Entry]]:
        """Return the record and the journal of a stored run within reach; `said` is the user that the request names.

        Raises `HttpError` 404, and 403 if the caller may not do the action.
        """
        store, reach = self.run_store(), reach_of(scope, said)
        try:
            record, entries = await store.load_run(run)
            if not reach.has(record.user) or not self.may(scope, "read", record.agent):
                raise unknown_run(run)
        except NotFound as exc:
            raise _not_stored(run) from exc
        if action != "read":
            self.check(scope, action, record.agent)
        return record, entries


def can_be_logged(runnable: Runnable) -> bool:
    """Return whether the runnable has a memory policy of its own. Kinds of other plugins may have none."""
    kind: Any = type(runnable)
    return attrs.has(kind) and any(field.name == "memory" and field.init for field in attrs.fields(kind))


def _not_stored(run: str) -> HttpError:
    hint = (
        "Runs are kept if their agent has memory=MemoryPolicy(journal=True) or a tool that may pause; with the memory "
        "`memory:`, only until the server ends. A user's run is found only if `user` names the user. To cancel a run "
        "that is not kept, ask the worker that streams it, or hang up."
    )
    return HttpError(404, "not_found", f"this server does not know the run {run!r}", hint)
