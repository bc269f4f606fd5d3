"""A model that follows a script, and fails on a call that is not in it and on a step that was never used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeAlias

import attrs
import trio

from agno_rt.errors import UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import ToolCall, Usage
from agno_rt.models import NO_PROFILE, Emit, ModelProfile, ModelRequest, ModelResponse

__all__ = ["Reply", "Script", "ScriptedModel", "Step"]

Said: TypeAlias = str | ModelResponse | ToolCall | Sequence[ToolCall] | BaseException


@attrs.frozen
class Reply:
    """A step that takes time, or breaks off.

    Attributes:
        said: what is answered, as any other step has it
        after: seconds before anything of it arrives
        between: seconds between one streamed piece and the next
        error: raised when all of it was streamed, in place of the answer: a connection that breaks off

    Time is trio's: under a virtual clock it takes none.
    """

    said: Said = ""
    after: float = 0.0
    between: float = 0.0
    error: BaseException | None = None


Answer: TypeAlias = Said | Reply
AnswerFunction: TypeAlias = Callable[[ModelRequest], Answer | Awaitable[Answer]]
Step: TypeAlias = Answer | AnswerFunction
Script: TypeAlias = Iterable[Step] | Mapping[str, Iterable[Step]] | AnswerFunction


class ScriptedModel:
    """Answers each request with the next step of a script.

    A step is a text, a `ModelResponse`, a `ToolCall` or several of them, an exception to raise, a `Reply` that takes
    its time with one of these, or a function of the request, async or not, that returns one of these. `requests` holds
    what it was asked. Use it in a `with` block, or call `check()` at the end: an unexpected call or a step left over is
    an `AssertionError`.

    Where several runs share the model, no order of their calls can be relied on. Then give it a script for each
    question, `{"How are you?": ["Fine."], ...}`, and a request goes on with the script of its last user message; or a
    single function, which answers every request, however many there are.

    Args:
        steps: the steps; a mapping of such by the question; or a function that answers everything
        name: what errors and events call the model
        profile: the facts about it, which decide how it is told of an output type, what media it takes, what it costs
    """

    def __init__(self, steps: Script, *, name: str = "scripted", profile: ModelProfile = NO_PROFILE) -> None:
        self.name = name
        self.profile = profile
        self.requests: list[ModelRequest] = []
        self._always = steps if callable(steps) else None
        self._by_question = isinstance(steps, Mapping)
        self._steps: dict[str, list[Step]] = {}
        if isinstance(steps, Mapping):
            self._steps = {question: _several(script, question) for question, script in steps.items()}
        elif not callable(steps):
            self._steps = {"": _several(steps)}
        self._asked = dict.fromkeys(self._steps, 0)
        self._unexpected: list[str] = []

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer with the next step, emitting its text word by word. Raises `AssertionError` when there is none."""
        self.requests.append(request)
        # Taken before anything waits: two that ask at once get a step each.
        step = self._next(request) if self._always is None else self._always
        answer = await _answer(step, request)
        reply = answer if isinstance(answer, Reply) else Reply(answer)
        if reply.after:
            await trio.sleep(reply.after)
        response = _response(reply.said)
        if emit is not None:
            await _emit(response, emit, reply.between)
        if reply.error is not None:
            raise reply.error
        return response

    def check(self) -> None:
        """Raise `AssertionError` unless every step was used and nothing more was asked."""
        if self._unexpected:
            raise AssertionError(self._complaint(self._unexpected[0]))
        for question, steps in self._steps.items():
            if left := steps[self._asked[question] :]:
                count = f"{len(left)} step{'' if len(left) == 1 else 's'} left over"
                raise AssertionError(f"{self._title(question)} has {count}, the first of them {left[0]!r}")

    def _next(self, request: ModelRequest) -> Step:
        question = _question(request) if self._by_question else ""
        at = self._asked.get(question, 0)
        self._asked[question] = at + 1
        steps = self._steps.get(question, ())
        if at >= len(steps):
            self._unexpected.append(question)
            raise AssertionError(self._complaint(question))
        return steps[at]

    def _complaint(self, question: str) -> str:
        if question not in self._steps:
            known = ", ".join(map(repr, self._steps))
            return f"model {self.name!r} was asked {question!r}, for which it has no script; it has one for {known}"
        asked, count = self._asked[question], len(self._steps[question])
        times, steps = ("time" if asked == 1 else "times"), ("step" if count == 1 else "steps")
        return f"{self._title(question)} was asked {asked} {times}; its script has {count} {steps}"

    def _title(self, question: str) -> str:
        return f"model {self.name!r}, on {question!r}," if self._by_question else f"model {self.name!r}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A test that fails already says why; a second complaint would hide it.
        if exc is None:
            self.check()


def _several(steps: Iterable[Step], question: str = "") -> list[Step]:
    if isinstance(steps, str | ModelResponse | ToolCall | Reply | BaseException):
        where = f", for {question!r}," if question else ""
        raise UsageError(f"the script of a model{where} is {steps!r}, not several steps", hint="Write [...] around it.")
    return list(steps)


def _question(request: ModelRequest) -> str:
    return next((message.text for message in reversed(request.messages) if message.role == "user"), "")


async def _answer(step: Step, request: ModelRequest) -> Answer:
    if not callable(step):
        return step
    answer = step(request)
    return await answer if isinstance(answer, Awaitable) else answer


def _response(said: Said) -> ModelResponse:
    match said:
        case BaseException():
            raise said
        case ModelResponse():
            return attrs.evolve(said)
        case str():
            return ModelResponse(said, usage=Usage(input_tokens=1, output_tokens=len(said.split())))
        case ToolCall():
            calls: Sequence[ToolCall] = (said,)
        case _:
            calls = tuple(said)
    return ModelResponse(tool_calls=calls, usage=Usage(1, len(calls)), finish_reason="tool_calls")


async def _emit(response: ModelResponse, emit: Emit, between: float) -> None:
    for at, delta in enumerate(_deltas(response)):
        if at and between:
            await trio.sleep(between)
        await emit(delta)


def _deltas(response: ModelResponse) -> Iterable[Delta]:
    if response.reasoning:
        yield ReasoningDelta(response.reasoning)
    for word in _pieces(response.content):
        yield TextDelta(word)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallDelta(index, call.id, call.name, call.arguments)


def _pieces(text: str) -> Iterable[str]:
    words = text.split(" ")
    return [f"{word} " for word in words[:-1]] + words[-1:] if text else []
