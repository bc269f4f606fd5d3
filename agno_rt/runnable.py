"""The base of everything that a runtime runs, of which agents are one kind. Knows nothing of how a run works."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic

import attrs

from agno_rt._schema.generics import DepsT, OutputT
from agno_rt.limits import Limits
from agno_rt.messages import Message
from agno_rt.result import RunResult

__all__ = ["Flow", "Runnable", "list_parts"]


class Runnable(Generic[DepsT, OutputT]):
    """A named value that a runtime runs: `run`, `stream`, `start`, `map`, the command line and the server take any.

    An `Agent` is one, whose runs ask a model. To run something else, write a subclass with `conduct`, a coroutine that
    runs other runnables and returns the answer::

        @attrs.define
        class Chain(Runnable):
            name: str
            steps: Sequence[Runnable]

            def parts(self):
                return self.steps

            async def conduct(self, flow, input):
                given = input
                for step in self.steps:
                    result = await flow.run(step, given)
                    given = result.content
                return result
    """

    __slots__ = ()

    kind: ClassVar[str] = "runnable"
    """The kind for people, in lists and messages."""

    name: str = ""
    """The name for people, routes and events."""

    description: str = ""
    """One sentence for people who choose among runnables."""

    limits: Limits | Mapping[str, Any] | None = None
    """The limits of each run, as `Limits` or a dict of its fields; `None` for the runtime's."""

    def parts(self) -> Sequence[Runnable]:
        """Return the runnables that a run of this one may run."""
        return ()

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> Any:
        """Carry out a run and return the answer: a text, a `RunResult`, or a value that JSON can carry.

        An agent has no use for the method: a run of an agent asks the model and calls tools.
        """
        raise NotImplementedError


@attrs.define(eq=False)
class Flow:
    """A run under way, as seen by `Runnable.conduct`.

    Attributes:
        run_id: the run's id
        session: the session's id, if the run has a session
        user: the run's user, if known
        history: the messages of the session before this run
        deps: the caller's `deps=`, which the runs within receive too
    """

    run_id: str
    session: str | None
    user: str | None
    history: Sequence[Message]
    deps: Any
    _run: Callable[..., Coroutine[Any, Any, RunResult]] = attrs.field(repr=False)

    async def run(
        self, runnable: Runnable[Any, OutputT], input: Any, *, session: str | None = None
    ) -> RunResult[OutputT]:
        """Run another runnable within this run, for the same user, and return the result. Raises as `Runtime.run`.

        The run within counts towards this run's budgets and ends with this run. It sees the input and nothing else,
        unless it has a `session` of its own.
        """
        return await self._run(runnable, input, session=session, user=self.user, deps=self.deps)


def list_parts(runnable: Runnable) -> Iterator[Runnable]:
    """Yield the runnable and everything within it, each once."""
    todo, seen = [runnable], set[int]()
    while todo:
        part = todo.pop()
        if id(part) not in seen:
            seen.add(id(part))
            yield part
            todo += reversed(part.parts())
