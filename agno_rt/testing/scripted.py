"""A model that follows a script, and fails on unexpected calls and on unused steps."""

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
        said: the answer, as in any other step
        after: seconds before the first piece arrives
        between: seconds between streamed pieces
        error: raised after the last piece in place of the answer, as by a broken connection

    Time is trio's: on a virtual clock, the waits take no time.
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

    A step is a text, a `ModelResponse`, one or several `ToolCall`, an exception to raise, a `Reply` with delays around
    one of these, or a function of the request, async or not, that returns one of these. `requests` holds the received
    requests. Use the model in a `with` block, or call `check()` at the end: an unexpected call or an unused step raises
    `AssertionError`.

    If several runs share the model, the order of their calls is undefined. Then pass a script for each question,
    `{"How are you?": ["Fine."], ...}`: a request goes on with the script of its last user message. Or pass a single
    function, which answers every request.

    Args:
        steps: the steps; a mapping of steps by question; or a function for all requests
        name: the model's name in errors and events
        profile: the facts about the model: its support for output types and media, its prices
    """

    def __init__(self, steps: Script, *, name: str = "scripted", profile: ModelProfile = NO_PROFILE) -> None:
        self.name = name
        self.profile = profile
        self.requests: list[ModelRequest] = []
        self._always = steps if callable(steps) else None
        self._by_question = isinstance(steps, Mapping)
        self._steps: dict[str, list[Step]] = {}
        if isinstance(steps, Mapping):
            self._steps = {question: _list_steps(script, question) for question, script in steps.items()}
        elif not callable(steps):
            self._steps = {"": _list_steps(steps)}
        self._asked = dict.fromkeys(self._steps, 0)
        self._unexpected: list[str] = []

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer with the next step, emitting its text word by word. Raises `AssertionError` without a next step."""
        self.requests.append(request)
        # Taken before any wait, so that concurrent requests get a step each.
        step = self._next(request) if self._always is None else self._always
        answer = await _take_step(step, request)
        reply = answer if isinstance(answer, Reply) else Reply(answer)
        if reply.after:
            await trio.sleep(reply.after)
        response = _build_response(reply.said)
        if emit is not None:
            await _emit_pieces(response, emit, reply.between)
        if reply.error is not None:
            raise reply.error
        return response

    def check(self) -> None:
        """Raise `AssertionError` for unused steps, and for unexpected calls."""
        if self._unexpected:
            raise AssertionError(self._complaint(self._unexpected[0]))
        for question, steps in self._steps.items():
            if left := steps[self._asked[question] :]:
                count = f"{len(left)} step{'' if len(left) == 1 else 's'} left over"
                raise AssertionError(f"{self._title(question)} has {count}, the first of them {left[0]!r}")

    def _next(self, request: ModelRequest) -> Step:
        question = _last_question(request) if self._by_question else ""
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
        # A failing test has its own error, which a second one would hide.
        if exc is None:
            self.check()


def _list_steps(steps: Iterable[Step], question: str = "") -> list[Step]:
    if isinstance(steps, str | ModelResponse | ToolCall | Reply | BaseException):
        where = f", for {question!r}," if question else ""
        raise UsageError(f"the script of a model{where} is {steps!r}, not several steps", hint="Write [...] around it.")
    return list(steps)


def _last_question(request: ModelRequest) -> str:
    return next((message.text for message in reversed(request.messages) if message.role == "user"), "")


async def _take_step(step: Step, request: ModelRequest) -> Answer:
    if not callable(step):
        return step
    answer = step(request)
    return await answer if isinstance(answer, Awaitable) else answer


def _build_response(said: Said) -> ModelResponse:
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


async def _emit_pieces(response: ModelResponse, emit: Emit, between: float) -> None:
    for at, delta in enumerate(_split_deltas(response)):
        if at and between:
            await trio.sleep(between)
        await emit(delta)


def _split_deltas(response: ModelResponse) -> Iterable[Delta]:
    if response.reasoning:
        yield ReasoningDelta(response.reasoning)
    for word in _split_words(response.content):
        yield TextDelta(word)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallDelta(index, call.id, call.name, call.arguments)


def _split_words(text: str) -> Iterable[str]:
    words = text.split(" ")
    return [f"{word} " for word in words[:-1]] + words[-1:] if text else []
