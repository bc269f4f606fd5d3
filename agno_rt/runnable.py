"""The base of everything that a runtime runs, of which agents are one kind. Knows nothing of how a run works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, ClassVar, Generic, Literal, Never, TypeAlias

import attrs

from agno_rt._schema.generics import DepsT, OutputT
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Message
from agno_rt.result import RunResult

__all__ = [
    "Again",
    "Ask",
    "BackgroundRun",
    "Drawing",
    "DrawingForm",
    "Flow",
    "Group",
    "OnEnd",
    "OnError",
    "Runnable",
    "Stop",
    "draw",
    "list_parts",
]

OnError: TypeAlias = Literal["cancel", "keep"]
OnEnd: TypeAlias = Literal["wait", "cancel", "keep"]
"""The fate of a background run at the end of the run that started it: waited for, cancelled, or left to go on."""
DrawingForm: TypeAlias = Literal["series", "parallel", "choice", "loop", "parts"]


@attrs.frozen
class Drawing:
    """A part of a picture: a named box, or a frame around other parts. `agno-rt graph` draws the parts.

    Attributes:
        name: the title; parts without a name have no frame of their own
        kind: the kind for people: `agent`, `team`, `step`, `question`
        notes: lines below the title, such as a model or a condition
        parts: the parts within; a drawing without parts is a box
        form: how the parts belong together: `series` (one after another), `parallel` (at the same time), `choice` (one
            of them), `loop` (a series again and again), or `parts` (in an order that only a run decides)
        state: the state in a run: `completed`, `failed`, `running`, `waiting` for a person, `unfinished` after the end
            of the process, or another status of a run; empty outside of runs
        began: the time of the beginning in a run, in seconds since the epoch; `None` if unknown
        ended: the time of the end; `None` if unknown, or if the part has not ended
    """

    name: str = ""
    kind: str = ""
    notes: Sequence[str] = ()
    parts: Sequence[Drawing] = ()
    form: DrawingForm = "series"
    state: str = ""
    began: float | None = None
    ended: float | None = None


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

    memory: MemoryPolicy | Mapping[str, Any] = MemoryPolicy()
    """The memory policy. With `journal`, each run is stored with its steps, and can be resumed."""

    def parts(self) -> Sequence[Runnable]:
        """Return the runnables that a run of this one may run."""
        return ()

    def drawing(self, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """Return the picture of the runnable; `draw` makes the picture of a part. By default, all parts side by side.

        A runnable that knows the order of its parts says so::

            def drawing(self, draw):
                return Drawing(self.name, self.kind, parts=[draw(step) for step in self.steps], form="series")
        """
        return Drawing(self.name or self.kind, self.kind, parts=[draw(part) for part in self.parts()], form="parts")

    def input_schema(self) -> Mapping[str, Any] | None:
        """Return the JSON Schema of an input that is JSON; `None` for a text. Protocols show callers the schema."""
        return None

    def output_schema(self) -> Mapping[str, Any] | None:
        """Return the JSON Schema of each result's `output`; `None` for an answer in text, or without a known type."""
        return None

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> Any:
        """Carry out a run and return the answer: a text, a `RunResult`, or a value that JSON can carry.

        An agent has no use for the method: a run of an agent asks the model and calls tools.
        """
        raise NotImplementedError


@attrs.frozen
class Ask:
    """A question to a person, for `Flow.ask`.

    Attributes:
        type: the type of the answer, as for an agent's output: `bool`, `str`, `Literal["a", "b"]`, a class
        question: the question
        expires: the seconds after which no answer is possible; `None` for never
    """

    type: Any
    question: str
    expires: float | None = None


@attrs.frozen
class Stop:
    """The answer of a workflow that ends early, from `Flow.stop`: the `reason` is the content of its result."""

    reason: str = ""


@attrs.frozen
class Again:
    """The answer of a workflow that goes on with a new journal, from `Flow.again`; `input` is the next input."""

    input: Any


class Group:
    """Branches of a flow that run at the same time, from `Flow.group`. The block ends when all branches have ended."""

    __slots__ = ()

    results: list[Any]
    """The results in the order of `start`: complete after the block."""

    def start(self, what: Runnable | Callable[..., Any], *args: Any, key: str | None = None, **options: Any) -> None:
        """Start a branch: a runnable with its input, or a function with its arguments. The `key` names the branch.

        Without a `key` the branch has its number, from 0. Raises `UsageError` for a key that is taken.
        """
        raise NotImplementedError


class BackgroundRun(Generic[OutputT]):
    """A run in the background of a flow, from `Flow.start`."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """The run's id. In a stored flow it follows from the place, so that a resumed flow finds the run again."""
        raise NotImplementedError

    @property
    def status(self) -> str:
        """The status of the run's result, or `running`."""
        raise NotImplementedError

    async def wait(self) -> RunResult[OutputT]:
        """Wait for the end, and return the result, which is recorded. Raises the error of a run without an answer.

        If the run waits for a person, the branch waits too, and the flow pauses when every branch waits. A run that was
        cancelled raises `RunCancelled`.
        """
        raise NotImplementedError

    def send(self, input: Any, when: Literal["next", "end"] = "next") -> None:
        """Send a user's message to the run under way, as `Run.send`. Raises `RunConflict` for a run that is over."""
        raise NotImplementedError

    async def cancel(self) -> None:
        """Cancel the run, and wait for its end."""
        raise NotImplementedError


class Flow:
    """A run under way, as seen by `Runnable.conduct` and by workflows.

    Each thing that a flow does has a path, `scope/name#n`: the scope is empty, or the path of a branch; `n` counts the
    uses of the name in the scope. Only the tasks that the flow started may use the flow.

    Attributes:
        run_id: the run's id
        session: the session's id, if the run has a session
        user: the run's user, if known
        history: the messages of the session before this run
        deps: the caller's `deps=`, which the runs within receive too
    """

    __slots__ = ("deps", "history", "run_id", "session", "user")

    run_id: str
    session: str | None
    user: str | None
    history: Sequence[Message]
    deps: Any

    @property
    def path(self) -> str:
        """The path of the present branch; empty outside of groups."""
        raise NotImplementedError

    async def run(
        self, runnable: Runnable[Any, OutputT], input: Any, *, session: str | None = None, name: str | None = None
    ) -> RunResult[OutputT]:
        """Run another runnable within this run, for the same user, and return the result. Raises as `Runtime.run`.

        The run within counts towards this run's budgets and ends with this run. It sees the input and nothing else,
        unless it has a `session` of its own. The input may also be a `RunResult`, a list with results, or a value that
        JSON can carry. The `name` in the path is the runnable's by default.
        """
        raise NotImplementedError

    async def start(
        self,
        runnable: Runnable[Any, OutputT],
        input: Any,
        *,
        session: str | None = None,
        name: str | None = None,
        on_end: OnEnd = "wait",
    ) -> BackgroundRun[OutputT]:
        """Start a run in the background, as `run`, and go on at once: `await (await flow.start(agent, "hi")).wait()`.

        The task belongs to the runtime's nursery. At the end of the flow, runs that nobody has waited for are waited
        for, and a failure is raised (`on_end="wait"`); or cancelled (`"cancel"`); or go on and end with the runtime
        (`"keep"`). A flow that fails, is cancelled or pauses cancels its background runs unless they are kept; a stored
        flow goes on with them when it is resumed, and a finished run is not run again.
        """
        raise NotImplementedError

    def group(
        self, name: str = "group", *, limit: int | None = None, on_error: OnError = "cancel"
    ) -> AbstractAsyncContextManager[Group]:
        """Open a group of branches, at most `limit` at once: `async with flow.group("parts") as parts:`.

        With `on_error="cancel"` the first failure cancels the other branches and is raised; with `keep` the error has
        the branch's place among the results.
        """
        raise NotImplementedError

    async def first(self, *runnables: Runnable[Any, OutputT], input: Any, name: str = "first") -> RunResult[OutputT]:
        """Run the runnables at once, return the first result, and cancel the others.

        If every run fails, raises the error of the last runnable.
        """
        raise NotImplementedError

    async def map(
        self,
        runnable: Runnable[Any, OutputT] | Callable[..., Any],
        inputs: Iterable[Any],
        *,
        limit: int | None = None,
        on_error: OnError = "cancel",
        key: Callable[[Any], str] | None = None,
        name: str = "map",
    ) -> list[Any]:
        """Run the runnable, or call the function, on each input as a group; return the results in the inputs' order.

        `key` makes the names of the branches from the inputs; without it, the branches are numbered.
        """
        raise NotImplementedError

    @property
    def version(self) -> int:
        """The version of the workflow when this run began, so that older runs keep to the older code."""
        raise NotImplementedError

    async def ask(self, question: Ask, *, expires: float | None = None, name: str = "ask") -> Any:
        """Ask a person, and return the answer. The branch waits; the run pauses when every branch waits.

        The question is an approval of kind `input`: answer by `Runtime.answer`, the command line or the server, and
        resume the run. Raises `Unanswered` if the person refuses, or does not answer in time; `UsageError` in a run
        that is not stored.
        """
        raise NotImplementedError

    async def signal(self, signal: str, *, timeout: float | None = None, name: str = "signal") -> Any:
        """Return the value of the next signal of this name, sent by `Runtime.signal`; wait for it if needed.

        Each signal is received once, in the order of sending. Without a `timeout` the run pauses when every branch
        waits: resume it after sending. With a `timeout` it stays, and raises `DeadlineExceeded` after so many seconds.
        """
        raise NotImplementedError

    async def sleep(self, seconds: float, *, name: str = "sleep") -> None:
        """Wait. The time of the end is recorded: a resumed run waits for the rest only.

        A run that also waits for people pauses meanwhile; resume it after the time.
        """
        raise NotImplementedError

    async def now(self) -> float:
        """Return the time in seconds since the epoch: recorded, and so the same in a resumed run."""
        raise NotImplementedError

    async def random(self) -> float:
        """Return a random number from 0 to 1: recorded, and so the same in a resumed run."""
        raise NotImplementedError

    async def id(self) -> str:
        """Return a new id: recorded, and so the same in a resumed run."""
        raise NotImplementedError

    async def changed(self, change: str) -> bool:
        """Return whether this run has the change: `if await flow.changed("fix-7"): ...` guards new code.

        Runs that passed the place before the change get False, and keep to the old code.
        """
        raise NotImplementedError

    async def emit(self, name: str, value: Any = None) -> None:
        """Tell the run's listeners something, as an `Emitted` event with the path of the branch.

        The value must be one that JSON can carry. Nothing is recorded: a resumed run tells only what it had not told
        before its last recorded step of the branch. Without a listener nothing happens. Raises `UsageError` for another
        value.
        """
        raise NotImplementedError

    async def given(self, name: str, value: bytes | None) -> bytes | None:
        """Record a value that the caller gave with the run, and return it; in a resumed run, the recorded one.

        Returns None if no value was given when the run began. Declared workflows keep their first state so.
        """
        raise NotImplementedError

    def stop(self, reason: str = "") -> Never:
        """Return the answer of a run that ends early: `return flow.stop("declined")`.

        The type is `Never`, so that checkers accept it in functions of any type.
        """
        raise NotImplementedError

    def again(self, input: Any) -> Never:
        """Return the answer of a run that begins again, with a new journal: `return flow.again(rest)`.

        The run keeps its id, its caller, its budgets, and the signals that it has not received. The journal so far
        moves to a run of its own; `agno-rt runs show` names the runs before and after. The input may be what
        `Flow.run` takes. The type is `Never` as for `stop`.
        """
        raise NotImplementedError

    def limits(self, limits: Limits | Mapping[str, Any]) -> AbstractContextManager[None]:
        """Bound the block: its budgets are part of the run's budgets, and `run_timeout` is the block's deadline."""
        raise NotImplementedError


def list_parts(runnable: Runnable) -> Iterator[Runnable]:
    """Yield the runnable and everything within it, each once."""
    # The parts are kept, since `parts` may make new ones, and a new one could get the id of one that is gone.
    todo, seen = [runnable], dict[int, Runnable]()
    while todo:
        part = todo.pop()
        if id(part) not in seen:
            seen[id(part)] = part
            yield part
            todo += reversed(part.parts())


def draw(runnable: Runnable) -> Drawing:
    """Return the picture of the runnable with everything within. A runnable within itself is a box, without its parts.

    The form of a picture follows from the runnable's value alone: nothing runs, and nothing is opened.
    """
    around: list[int] = []

    def draw_part(part: Runnable) -> Drawing:
        if id(part) in around:
            return Drawing(part.name or part.kind, part.kind, ["again, as around"])
        around.append(id(part))
        try:
            return part.drawing(draw_part)
        finally:
            around.pop()

    return draw_part(runnable)
