"""A model that follows a script, and fails on a call that is not in it and on a step that was never used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

import attrs

from agno_rt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import ToolCall, Usage
from agno_rt.models import Emit, ModelRequest, ModelResponse

__all__ = ["ScriptedModel", "Step"]

Answer: TypeAlias = str | ModelResponse | ToolCall | Sequence[ToolCall] | BaseException
Step: TypeAlias = Answer | Callable[[ModelRequest], Answer | Awaitable[Answer]]


class ScriptedModel:
    """Answers each request with the next step of a script.

    A step is a text, a `ModelResponse`, a `ToolCall` or several of them, an exception to raise, or a function of the
    request, async or not, that returns one of these. `requests` holds what it was asked. Use it in a `with` block, or
    call `check()` at the end: an unexpected call or a step left over is an `AssertionError`.
    """

    def __init__(self, steps: Iterable[Step], *, name: str = "scripted") -> None:
        self.name = name
        self.requests: list[ModelRequest] = []
        self._steps = list(steps)
        self._used = 0
        self._unexpected = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer with the next step, emitting its text word by word. Raises `AssertionError` when there is none."""
        self.requests.append(request)
        if self._used == len(self._steps):
            self._unexpected += 1
            raise AssertionError(self._complaint())
        step = self._steps[self._used]
        self._used += 1
        response = _response(await _answer(step, request))
        if emit is not None:
            await _emit(response, emit)
        return response

    def check(self) -> None:
        """Raise `AssertionError` unless every step was used and nothing more was asked."""
        if self._unexpected or self._used < len(self._steps):
            raise AssertionError(self._complaint())

    def _complaint(self) -> str:
        if self._unexpected:
            asked = self._used + self._unexpected
            return f"model {self.name!r} was asked {asked} times; its script has {len(self._steps)} steps"
        left = self._steps[self._used :]
        return f"model {self.name!r} has {len(left)} steps left over, the first of them {left[0]!r}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A test that fails already says why; a second complaint would hide it.
        if exc is None:
            self.check()


async def _answer(step: Step, request: ModelRequest) -> Answer:
    if not callable(step):
        return step
    answer = step(request)
    return await answer if isinstance(answer, Awaitable) else answer


def _response(answer: Answer) -> ModelResponse:
    match answer:
        case BaseException():
            raise answer
        case ModelResponse():
            return attrs.evolve(answer)
        case str():
            words = len(answer.split())
            return ModelResponse(answer, usage=Usage(input_tokens=1, output_tokens=words))
        case ToolCall():
            calls: Sequence[ToolCall] = (answer,)
        case _:
            calls = tuple(answer)
    return ModelResponse(tool_calls=calls, usage=Usage(1, len(calls)), finish_reason="tool_calls")


async def _emit(response: ModelResponse, emit: Emit) -> None:
    if response.reasoning:
        await emit(ReasoningDelta(response.reasoning))
    for word in _pieces(response.content):
        await emit(TextDelta(word))
    for index, call in enumerate(response.tool_calls):
        await emit(ToolCallDelta(index, call.id, call.name, call.arguments))


def _pieces(text: str) -> Iterable[str]:
    words = text.split(" ")
    return [f"{word} " for word in words[:-1]] + words[-1:] if text else []
