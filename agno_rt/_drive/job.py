"""A run ready to be carried out, in three parts: what its runnable names, what its caller asked for, and its progress.

Knows no driver and no runtime.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias

import msgspec
import trio

from agno_rt._decide.budget import Budget
from agno_rt._decide.turns import Turns
from agno_rt.agent import PLAIN_MEMORY
from agno_rt.context import RunContext
from agno_rt.errors import AgnoError
from agno_rt.instructions import Instructions
from agno_rt.limiter import Limiter
from agno_rt.limits import Limits
from agno_rt.memory import FactStore, MemoryPolicy
from agno_rt.messages import Message, Usage
from agno_rt.models import NO_PROFILE, NO_SETTINGS, NO_USAGE, Model, ModelProfile, ModelSettings
from agno_rt.providers import ContextProvider
from agno_rt.result import RunResult
from agno_rt.tools import Tool

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from agno_rt._decide.hooks import Hooks

    # Rarely needed in a run; the code making such an object imports the module.
    from agno_rt._decide.output_form import OutputForm
    from agno_rt._decide.tool_index import ToolIndex
    from agno_rt._decide.tool_results import Told
    from agno_rt._drive.emitter import Emitter
    from agno_rt._drive.inbox import Inbox
    from agno_rt._drive.session_access import SessionAccess
    from agno_rt._drive.tool_threads import Workers
    from agno_rt._drive.write_journal import Journal

    # A bare `Job` is the job of an agent.
    ResolvedT = TypeVar("ResolvedT", bound="Resolved", default="ResolvedAgent")
else:
    from typing import TypeVar

    ResolvedT = TypeVar("ResolvedT")

__all__ = [
    "NO_PLACES",
    "NO_SIGNALS",
    "Asked",
    "AskedBusy",
    "AskedWithin",
    "Busy",
    "Job",
    "Resolved",
    "ResolvedAgent",
]

NO_PLACES: Mapping[str, Limiter] = {}


class Resolved(msgspec.Struct, eq=False):
    """The resolved parts of a runnable, shared by all of its runs in one runtime.

    `take` carries a run out, between the beginning of its conversation and the end. `is_bounded` is set if a budget
    bounds a run, `nests` if a run calls code that may start runs within the run, `pauses` if a run may wait for a
    person, and so has to be stored. `providers` has the context providers; `None` for none.
    """

    take: Callable[[Any, Turns], Awaitable[None]]
    limits: Limits
    model_calls: Limiter
    is_bounded: bool = False
    nests: bool = False
    pauses: bool = False
    memory: MemoryPolicy = PLAIN_MEMORY
    form: OutputForm | None = None
    hooks: Hooks | None = None
    providers: tuple[ContextProvider, ...] | None = None

    code_version: ClassVar[int] = 1


class ResolvedAgent(Resolved, kw_only=True):
    """The resolved parts of an agent.

    `offered` are the tools in each request; the other `tools` are found through the `index`.

    `places` has the limiters of bounded tools by name, `summarizer` the model for summaries, `workers` the threads and
    worker processes of tools, `run` the runtime's method for runs within a tool or a hook, `run_at` the method for
    runs within a tool of a stored run, `start` the method for runs in the background, `call_within` the function for
    calls within a tool.
    """

    model: Model
    tools: Mapping[str, Tool]
    offered: tuple[Tool, ...] = ()
    index: ToolIndex | None = None
    places: Mapping[str, Limiter] = NO_PLACES
    profile: ModelProfile = NO_PROFILE
    summarizer: Model | None = None
    settings: ModelSettings = NO_SETTINGS
    workers: Workers | None = None
    run: Callable[..., Coroutine[Any, Any, RunResult]] | None = None
    call_within: Callable[..., Coroutine[Any, Any, Told]] | None = None
    run_at: Callable[[Any, Any, AskedWithin], Coroutine[Any, Any, RunResult]] | None = None
    start: Callable[..., Coroutine[Any, Any, Any]] | None = None


class Asked(msgspec.Struct, eq=False):
    """The options of one run, beside the runnable and the input. `journal` is the journal of a run to resume."""

    session: str | None = None
    user: str | None = None
    deps: Any = None
    journal: Journal | None = None


NO_SIGNALS: Mapping[str, int] = MappingProxyType({})
"""The signals of runs that wait for none."""


class AskedWithin(Asked, kw_only=True):
    """The options of a run within a flow: its `path` there. In a stored flow, `child` is its id, and it is stored too.

    `is_resumed` is set if an earlier process may have begun the run, `is_forced` to take it over by force then.
    `may_sleep` is set if the flow around pauses together with a run that sleeps; tools and background runs cannot. A
    run that pauses sets `wakes_at` to the time at which it goes on by itself, and `signals` to the number of signals
    seen by each run, itself or within, that waits for more.
    """

    path: str = ""
    child: str | None = None
    is_resumed: bool = False
    is_forced: bool = False
    may_sleep: bool = False
    wakes_at: float | None = None
    signals: Mapping[str, int] = NO_SIGNALS


Busy: TypeAlias = Literal["enqueue", "reject", "interrupt", "rollback"]
"""The way of a new run with a session in use: wait, be refused, stop the runs before it, or take their place."""


class AskedBusy(Asked, kw_only=True):
    """The options of a run on a session, for which other runs on the session are stopped or waited for."""

    busy: Busy = "enqueue"


class Job(msgspec.Struct, Generic[ResolvedT], eq=False):
    """A run, ready to be carried out: its runnable's name and resolved parts, its options, its places, its progress.

    Hooks may change `input`; `instructions` are the agent's until the run begins, then text. `outcome` is set when the
    run is over, however it ended. A Struct, because each run makes one and attrs takes three times as long.
    """

    run_id: str
    agent: str
    resolved: ResolvedT
    asked: Asked
    input: tuple[Message, ...]
    instructions: Instructions
    admission: Limiter
    session: SessionAccess | None = None
    emitter: Emitter | None = None
    outer: Job[Any] | None = None
    budget: Budget | None = None
    began: float = 0.0
    # The progress. `facts` is the store of facts about the user, `called` the number of calls of each tool with a
    # limit, `kept` what hooks keep from step to step, `given` the users' input by call id, `inbox` what others ask of
    # the run under way.
    turns: Turns | None = None
    journal: Journal | None = None
    facts: FactStore | None = None
    state: Any = None
    called: dict[str, int] | None = None
    kept: dict[Any, Any] | None = None
    given: dict[str, Any] | None = None
    inbox: Inbox | None = None
    outcome: RunResult | None = None

    @property
    def has_begun(self) -> bool:
        """True if the run has a conversation, and its beginning is stored."""
        begun = self.turns is not None and bool(self.turns.messages)
        return begun and (self.journal is None or self.journal.begun)

    def context(self) -> RunContext:
        """Make the context for the run's tools, hooks and instructions."""
        if self.kept is None:
            self.kept = {}
        return RunContext(
            self.run_id,
            self.agent,
            None if self.session is None else self.session.id,
            self.asked.user,
            self.input,
            self.asked.deps,
            self.state,
            kept=self.kept,
            given=self.given,
            usage=self._usage,
            spend=self.spend,
            give_way=trio.lowlevel.checkpoint,
            run=self.run_within,
        )

    def spend(self, usage: Usage) -> None:
        """Count the tokens that a tool or a hook used by itself."""
        assert self.turns is not None
        with _SPENDING:
            self.turns.usage = self.turns.usage + usage
            if self.budget is not None:
                self.budget.spend(usage)

    async def run_within(self, runnable: Any, input: Any, session: str | None) -> RunResult:
        """Run another runnable within this run, and count its usage. The budgets around it have counted it already."""
        run, turns = getattr(self.resolved, "run", None), self.turns
        assert run is not None, "only the code of an agent's run has a context"
        assert turns is not None, "the run has begun"
        try:
            result: RunResult = await run(runnable, input, session=session, user=self.asked.user, deps=self.asked.deps)
        except AgnoError as exc:
            if exc.result is not None:
                turns.usage = turns.usage + exc.result.usage
            raise
        turns.usage = turns.usage + result.usage
        return result

    def _usage(self) -> Usage:
        return NO_USAGE if self.turns is None else self.turns.usage


_SPENDING = threading.Lock()
"""Guards the counting of usage, since tools in threads spend too."""
