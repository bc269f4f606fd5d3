"""The run as seen by a tool, a hook or an instructions function. Knows nothing of trio.

The run fills in a tool's parameter of type `RunContext`, `Deps[...]`, `State[...]` or `FromUser[...]`; the model never
sees the parameter. `Deps[Database]` is the caller's dependency of that type, `State[Cart]` the session's state. For
`FromUser[str]` the run pauses until a person gives the value.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

import attrs
import msgspec

from agno_rt._schema.generics import ContextDepsT
from agno_rt.errors import UsageError
from agno_rt.messages import Content, Message, ToolCall, Usage

__all__ = [
    "DEPS",
    "STATE",
    "USER",
    "Deps",
    "FromUser",
    "Injected",
    "RunContext",
    "State",
    "ToolResult",
    "find_dep",
]

T = TypeVar("T")


@attrs.frozen
class Injected:
    """A mark for a parameter that is filled in by the run or by the user; `what` is `deps`, `state` or `user`."""

    what: Literal["deps", "state", "user"]


DEPS = Injected("deps")
STATE = Injected("state")
USER = Injected("user")

Deps = Annotated[T, DEPS]
State = Annotated[T, STATE]
FromUser = Annotated[T, USER]


@attrs.frozen
class ToolResult:
    """The result of `RunContext.call_tool`: `content` is the text or media for the model, or the problem if failed."""

    status: Literal["completed", "failed"]
    content: Content


async def _drop_progress(data: Any) -> None:
    """Drop progress without a listener."""


def _drop_report(data: Any) -> None:
    """Drop progress from a sync function."""


# Typed as Any, because `None` is not a value of every type that a run's dependencies may have.
_NO_DEPS: Any = None


def _return_no_usage() -> Usage:
    return Usage()


def _drop_usage(usage: Usage) -> None:
    """Drop usage outside a run."""


async def _run_nothing(runnable: Any, input: Any, session: str | None) -> Any:
    """Refuse a run within a context without a run."""
    hint = "Give the tool a context of a run; in a test, run an agent that has the tool."
    raise UsageError("this context belongs to no run, and cannot run others", hint=hint)


async def _give_way_to_nobody() -> None:
    """Give way outside a run: do nothing."""


# The private callables connect the context with its run. Their defaults serve a context without a run, as in a test.
@attrs.define(eq=False)
class RunContext(Generic[ContextDepsT]):
    """The current run.

    Attributes:
        run_id: the run's id
        agent: the agent's name
        session: the session's id, if the run has a session
        user: the run's user, if known
        input: the messages to answer
        deps: the caller's `deps=`: one object, or a tuple of several
        state: the session's state, of the type named by the agent's `MemoryPolicy`; `None` without a type. Change the
            state in place: it is stored with the run's messages, in one step
        call: in a tool, the tool call in progress; `None` in a batch tool, which has several calls
        kept: the data that hooks keep from one step of the run to the next, each under a key of its own. A hook is
            shared by all runs of its agent, but `kept` belongs to the run
    """

    run_id: str
    agent: str = ""
    session: str | None = None
    user: str | None = None
    input: tuple[Message, ...] = ()
    deps: ContextDepsT = _NO_DEPS
    state: Any = None
    call: ToolCall | None = None
    kept: dict[Any, Any] = attrs.field(factory=dict, repr=False)
    _usage: Callable[[], Usage] = attrs.field(default=_return_no_usage, repr=False)
    _spend: Callable[[Usage], None] = attrs.field(default=_drop_usage, repr=False)
    _send: Callable[[Any], Awaitable[None]] = attrs.field(default=_drop_progress, repr=False)
    _report: Callable[[Any], None] = attrs.field(default=_drop_report, repr=False)
    _give_way: Callable[[], Awaitable[None]] = attrs.field(default=_give_way_to_nobody, repr=False)
    _run: Callable[[Any, Any, str | None], Awaitable[Any]] = attrs.field(default=_run_nothing, repr=False)
    # The run in whose tool the context is, and the number of calls that the tool has made of other tools.
    _within: Any = attrs.field(default=None, repr=False)
    _calls: int = attrs.field(default=0, repr=False)
    # The user's values for calls that asked for input, by the calls' ids.
    _given: Mapping[str, Any] | None = attrs.field(default=None, repr=False)

    @property
    def usage(self) -> Usage:
        """The run's usage so far."""
        return self._usage()

    def spend(self, usage: Usage) -> None:
        """Add usage of a model by a tool or a hook itself to the run's usage and budgets."""
        self._spend(usage)

    async def run(self, runnable: Any, input: Any, *, session: str | None = None) -> Any:
        """Run an agent or another runnable within this run, for the same user and with the same `deps`.

        Returns the `RunResult`, and raises as `Runtime.run`. The run within counts towards this run's budgets and usage
        and ends with this run. It sees the input and nothing else, unless it has a `session` of its own.

        A tool may return the result as it is: the model gets the answer. If the run within is paused, this run pauses,
        too, with its approvals, and the tool is called again when this run is resumed. Then, as after a crash, the same
        runnable with the same input is found: it goes on, or has its result already. This run has to be stored for it:
        without a journal, the model is told that the run within is paused. From a batch tool, a list with a paused
        result makes all calls of the batch wait.
        """
        return await self._run(runnable, input, session)

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call another tool of the agent from within a tool, as if the model had made the call.

        Hooks, approvals, limits, events and the journal see the call. If a person has to approve, this run pauses, and
        the tool around is called again when the run is resumed: the calls that it makes again, in the same order and
        with the same arguments, have their results at once. So the tool must be `idempotent`, and must let the
        exception of a pause through. Calls are made one after another.

        Raises `UsageError` outside of a tool, in a batch tool, and for arguments that JSON cannot carry.
        """
        job, outer = self._within, self.call
        if job is None or outer is None:
            hint = "Call it in a tool that is not a batch tool."
            raise UsageError(f"the context is not one of a single tool call, and cannot call {name!r}", hint=hint)
        try:
            text = msgspec.json.encode(arguments).decode()
        except (TypeError, ValueError) as exc:
            raise UsageError(f"the arguments for {name} cannot be sent: {exc}", hint="Give JSON values.") from exc
        self._calls += 1
        status, content = await job.resolved.call_within(job, outer, self._calls, (name, text))
        return ToolResult(status, content)

    async def progress(self, data: Any) -> None:
        """Report a tool's progress to listeners; `data` is anything that JSON can carry.

        A slow reader of the run's stream makes the call wait. After the end of the tool, the call does nothing. Raises
        `UsageError` for data that JSON cannot carry, even without a listener.
        """
        await self._send(data)

    def report(self, data: Any) -> None:
        """Report progress like `progress`, from a sync function: in its thread, or in place.

        In a thread the call waits for a slow reader; in place it cannot wait, and does not.
        """
        self._report(data)

    async def give_way(self) -> None:
        """Let other runs continue. A hook or tool with a long computation calls this every few milliseconds."""
        await self._give_way()

    def dep(self, type_: type[T]) -> T:
        """Return the caller's dependency of the type. Raises `UsageError` if there is none."""
        found = find_dep(self.deps, type_)
        if found is None:
            raise UsageError(
                f"the run has no dependency of type {type_.__name__}",
                hint=f"Pass it to the run: deps={type_.__name__}(...), or a tuple of several.",
            )
        return found


def find_dep(deps: Any, type_: type[T] | tuple[type[T], ...]) -> T | None:
    """Return the first dependency of the type, `deps` itself or an element of the tuple, or `None`."""
    if isinstance(deps, type_):
        return deps
    if isinstance(deps, tuple):
        return next((value for value in deps if isinstance(value, type_)), None)
    return None
