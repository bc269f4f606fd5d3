"""Defines a run ready to be carried out, with all that its agent names resolved. Knows no driver and no runtime."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, final

import attrs
import msgspec
import trio

from agno_rt._decide.budget import Budget, Refusals, too_deep
from agno_rt._decide.turns import Turns
from agno_rt._drive.emitter import Emitter
from agno_rt._schema.generics import OutputT
from agno_rt.agent import PLAIN_MEMORY
from agno_rt.context import RunContext
from agno_rt.events import Status
from agno_rt.instructions import Instructions
from agno_rt.limiter import Limiter
from agno_rt.limits import Limits
from agno_rt.memory import FactStore, MemoryBackend, MemoryPolicy
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import NO_PROFILE, NO_USAGE, FinishReason, Model, ModelProfile, ModelSettings
from agno_rt.tools import Tool

if TYPE_CHECKING:
    # Rarely needed in a run; the code making such an object imports the module.
    from agno_rt._decide.output_form import OutputForm
    from agno_rt._drive.session_order import SharedLock
    from agno_rt._drive.tool_threads import Workers
    from agno_rt._drive.write_journal import Journal
    from agno_rt.run_store import Approval

__all__ = ["NO_PLACES", "OUTER", "Asked", "Job", "RunResult", "SessionAccess", "check_depth", "holds"]

_NO_OUTPUT: Any = None


@final
@attrs.define(eq=False, weakref_slot=False)
class RunResult(Generic[OutputT]):
    """The result of a run.

    `content` is the answer's text; `output` is the answer as the agent's output type, or `None` without a type and
    while the run is `paused`. `reasoning` is the model's thinking before the answer, if the model reports any.
    `messages` are the messages added by this run: the input, each response, each tool's result. `state` is the
    session's state after the run, if the agent has one. `approvals` are the approvals a `paused` run waits for. `error`
    is set if the status is `failed` or `limited`. `finish_reason` tells why the answer ended: `length` if cut off.
    """

    run_id: str
    status: Status
    content: str = ""
    output: OutputT = _NO_OUTPUT
    messages: tuple[Message, ...] = ()
    usage: Usage = NO_USAGE
    error: BaseException | None = None
    finish_reason: FinishReason = "stop"
    reasoning: str = ""
    state: Any = None
    approvals: tuple[Approval, ...] = ()
    # Two clock readings, as their difference would cost each run one more allocation.
    _began: float = attrs.field(default=0.0, repr=False)
    _ended: float = attrs.field(default=0.0, repr=False)

    @property
    def duration(self) -> float:
        """The seconds from the call until the end of the run; for a resumed run, since the resumption."""
        return self._ended - self._began

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls asked for by the model, in their order; the message with a call's `id` has the result."""
        return tuple(call for message in self.messages for call in message.tool_calls)


class SessionAccess(msgspec.Struct, eq=False, weakref=True):
    """The session that a run reads and appends to, with the lock for runs of this process.

    `shared` is set if the memory backend also orders the runs of other processes.
    """

    id: str
    memory: MemoryBackend
    lock: Limiter
    shared: SharedLock | None = None

    @classmethod
    def of(cls, session: str, memory: Any) -> SessionAccess:
        """Make the access to a session of the memory backend."""
        access = cls(session, memory, Limiter(f"session {session!r}", 1))
        if hasattr(memory, "lock_session"):  # isinstance() with the protocol would take microseconds
            from agno_rt._drive.session_order import SharedLock  # only for backends that lock sessions

            access.shared = SharedLock(session, memory)
        return access


NESTED_SECONDS = 60.0
"""Seconds that a run within a run waits for another process, without a `queue_timeout`."""

NO_PLACES: Mapping[str, Limiter] = {}


class Asked(msgspec.Struct, eq=False):
    """The options of one run, beside the agent and the input."""

    session: str | None = None
    user: str | None = None
    deps: Any = None
    journal: Journal | None = None


class Job(msgspec.Struct, eq=False):
    """A run, ready to be carried out. `outcome` is set when the run is over, however it ended.

    `instructions` are the agent's until the run begins, then text. `summarizer` is the model for summaries, `facts` the
    store of facts about the user. `places` has the limiters of tools by name, `workers` the threads and worker
    processes, `called` the number of calls of each tool with a limit, `given` the users' input by call id; `journal`
    stores the run. A Struct, because each run makes one and attrs takes three times as long.
    """

    run_id: str
    agent: str
    model: Model
    instructions: Instructions
    input: tuple[Message, ...]
    tools: Mapping[str, Tool]
    settings: ModelSettings
    limits: Limits
    admission: Limiter
    model_calls: Limiter
    user: str | None = None
    form: OutputForm | None = None
    session: SessionAccess | None = None
    emitter: Emitter | None = None
    profile: ModelProfile = NO_PROFILE
    hooks: Any = None
    deps: Any = None
    outer: Job | None = None
    budget: Budget | None = None
    policy: MemoryPolicy = PLAIN_MEMORY
    summarizer: Model | None = None
    facts: FactStore | None = None
    places: Mapping[str, Limiter] = NO_PLACES
    workers: Workers | None = None
    journal: Journal | None = None
    began: float = 0.0
    given: dict[str, Any] | None = None
    state: Any = None
    turns: Turns | None = None
    called: dict[str, int] | None = None
    kept: dict[Any, Any] | None = None
    outcome: RunResult | None = None

    def context(self) -> RunContext:
        """Make the context for the run's tools, hooks and instructions."""
        if self.kept is None:
            self.kept = {}
        return RunContext(
            self.run_id,
            self.agent,
            None if self.session is None else self.session.id,
            self.user,
            self.input,
            self.deps,
            self.state,
            kept=self.kept,
            given=self.given,
            usage=self._usage,
            spend=self.spend,
            give_way=trio.lowlevel.checkpoint,
        )

    def spend(self, usage: Usage) -> None:
        """Count the tokens that a tool or a hook used by itself."""
        assert self.turns is not None
        with _SPENDING:
            self.turns.usage = self.turns.usage + usage
            if self.budget is not None:
                self.budget.spend(usage)

    def patience(self) -> float | None:
        """Return the seconds to wait for another process to give a session back; `None` for no bound.

        Inside a run with a session the wait is bounded: the other process may be waiting for the outer run's session.
        """
        outer = self.outer
        while self.limits.queue_timeout is None and outer is not None:
            if outer.session is not None:
                return NESTED_SECONDS
            outer = outer.outer
        return self.limits.queue_timeout

    def _usage(self) -> Usage:
        return NO_USAGE if self.turns is None else self.turns.usage


_SPENDING = threading.Lock()
"""Guards the counting of usage, since tools in threads spend too."""

OUTER: ContextVar[Job | None] = ContextVar("agno_rt_outer", default=None)
"""The run around a tool. A run made by the tool is inside it, and must not wait for a place the outer run holds."""


def holds(job: Job | None, place: Limiter) -> bool:
    """Return whether the run, or a run around it, holds a place of the limiter."""
    while job is not None:
        if job.admission is place or (job.session is not None and job.session.lock is place):
            return True
        job = job.outer
    return False


MOST_REFUSED = 8
"""Turns in which models may be refused a run that is too deep, before the outermost run fails."""


def check_depth(outer: Job, most: int) -> None:
    """Raise `LimitExceeded` for a run inside `outer` if more than `most` runs would be nested.

    The depth alone does not bound the work: each nested run has all its turns to ask for a deeper run. So refusals are
    counted for the outermost run, and too many of them end all the runs.
    """
    around: list[Job] = []
    job: Job | None = outer
    while job is not None:
        around.append(job)
        job = job.outer
    if len(around) < most:
        return
    # The budgets hold the state shared by nested runs. A run without a budget gets one here.
    refusals = Refusals()
    for job in reversed(around):
        if job.budget is None:
            job.budget = Budget(job.limits, None if job.outer is None else job.outer.budget)
        refusals = job.budget.refusals = refusals if job.budget.refusals is None else job.budget.refusals
    turn = outer.run_id, 0 if outer.turns is None else outer.turns.turn
    if turn != refusals.last:  # several refusals in one turn count once
        refusals.turns += 1
        refusals.last = turn
    if refusals.turns > MOST_REFUSED:
        refusals.ended = most
    raise too_deep(most)
