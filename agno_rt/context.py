"""What a tool, a hook or an instructions function may know of the run that it is part of. Knows nothing of trio.

A tool that has a parameter of type `RunContext`, `Deps[...]`, `State[...]` or `FromUser[...]` is given it; the model
never sees such a parameter. `Deps[Database]` is the caller's dependency of that type, `State[Cart]` the session's
state. For `FromUser[str]` the run pauses, until somebody says what to put there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

import attrs

from agno_rt._schema.generics import ContextDepsT
from agno_rt.errors import UsageError
from agno_rt.messages import Message, ToolCall, Usage

__all__ = ["DEPS", "STATE", "USER", "Deps", "FromUser", "Injected", "RunContext", "State", "find_dep"]

T = TypeVar("T")


@attrs.frozen
class Injected:
    """Marks a parameter that the run fills in, or whoever it pauses for; `what` is `deps`, `state` or `user`."""

    what: Literal["deps", "state", "user"]


DEPS = Injected("deps")
STATE = Injected("state")
USER = Injected("user")

Deps = Annotated[T, DEPS]
State = Annotated[T, STATE]
FromUser = Annotated[T, USER]


async def _untold(data: Any) -> None:
    """Progress that nobody listens to."""


def _unreported(data: Any) -> None:
    """The same, from a function that is not async."""


_NO_DEPS: Any = None


def _unused() -> Usage:
    return Usage()


def _uncounted(usage: Usage) -> None:
    """Usage that is nobody's."""


async def _alone() -> None:
    """Give way where there is nobody to give way to."""


@attrs.define(eq=False)
class RunContext(Generic[ContextDepsT]):
    """The run that something happens in.

    Attributes:
        run_id: the run's id
        agent: the agent's name
        session: the session's id, if the run has one
        user: whom the run is for, if that was said
        input: the messages that the run was asked to answer
        deps: what the caller passed as `deps=`: one thing, or a tuple of several
        state: the session's state, as the type that the agent's `MemoryPolicy` names; `None` without one. Change it
            in place: it is stored with the run's messages, in one step
        call: the tool call under way, in a tool; a batch tool has several, and `None` here
        kept: what hooks keep from one step of the run to the next, each under a key of its own: a hook is shared by all
            runs of its agent, this is the run's
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
    _usage: Callable[[], Usage] = attrs.field(default=_unused, repr=False)
    _spend: Callable[[Usage], None] = attrs.field(default=_uncounted, repr=False)
    _send: Callable[[Any], Awaitable[None]] = attrs.field(default=_untold, repr=False)
    _report: Callable[[Any], None] = attrs.field(default=_unreported, repr=False)
    _give_way: Callable[[], Awaitable[None]] = attrs.field(default=_alone, repr=False)
    # What was given for the calls that asked the user, by their ids.
    _given: Mapping[str, Any] | None = attrs.field(default=None, repr=False)

    @property
    def usage(self) -> Usage:
        """What the run has used so far."""
        return self._usage()

    def spend(self, usage: Usage) -> None:
        """Count what a tool or a hook used of a model by itself as used by the run, and by its budgets."""
        self._spend(usage)

    async def progress(self, data: Any) -> None:
        """Tell whoever listens how far the tool is; `data` is anything that JSON can carry.

        A stream's reader that is far behind makes this wait. Once the tool has ended it does nothing. Raises
        `UsageError` for something that JSON cannot carry, whether anybody listens or not.
        """
        await self._send(data)

    def report(self, data: Any) -> None:
        """Tell as `progress` does, from a function that is not async: in the thread that it runs in, or in place.

        In a thread it waits for a reader that is behind; in place nothing can wait, and it does not.
        """
        self._report(data)

    async def give_way(self) -> None:
        """Let other runs go on. A hook or tool that computes for long calls it every few milliseconds."""
        await self._give_way()

    def dep(self, type_: type[T]) -> T:
        """The dependency of that type that the caller passed. Raises `UsageError` when there is none."""
        found = find_dep(self.deps, type_)
        if found is None:
            raise UsageError(
                f"the run was given no {type_.__name__}",
                hint=f"Pass it to the run: deps={type_.__name__}(...), or a tuple of several.",
            )
        return found


def find_dep(deps: Any, type_: type[T] | tuple[type[T], ...]) -> T | None:
    """The first of the dependencies that is of the type: `deps` itself, or else one of the tuple that it is."""
    if isinstance(deps, type_):
        return deps
    if isinstance(deps, tuple):
        return next((value for value in deps if isinstance(value, type_)), None)
    return None
