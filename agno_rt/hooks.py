"""Hooks around the steps of a run; a guardrail is one kind. Knows nothing of how a run runs.

A hook is an object with some of the methods of `Hook`. The `before_` methods are called in the order of the agent's
`hooks`, the `after_` methods in the reverse order, like layers around the step. Each may change the value by returning
another, refuse it by raising `Blocked`, or leave it unchanged by returning `None`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import attrs

from agno_rt.context import RunContext
from agno_rt.errors import UsageError, suggest
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.tools import Tool

__all__ = ["CallReview", "Guard", "Guardrail", "Hook", "Place", "Review", "Verdict"]

Place = Literal["input", "output", "tools"]


@attrs.frozen
class CallReview:
    """A tool call that waits for a person's approval, as `Hook.review_call` sees the call.

    Attributes:
        call: the call
        tool: the tool, with its description and its notes `read_only` and `destructive`
        arguments: the call's arguments, decoded from JSON
        reason: the tool's reason to ask; may be empty
    """

    call: ToolCall
    tool: Tool
    arguments: Mapping[str, Any]
    reason: str = ""


@attrs.frozen
class Review:
    """The result of a review: `approved` in the person's place, or left to a person; `reason` for the log."""

    approved: bool
    reason: str = ""


class Hook:
    """The base of a hook. Override the methods that you need; the others cost a run nothing.

    All runs of an agent share its hooks, at the same time too: keep data of one run in `context.kept`. Raise `Blocked`
    to refuse, which ends the run at any step. An exception other than an `AgnoError` ends it as a `HookError`. A
    stream has the text as the model wrote it; if `after_model` or `after_run` then changes the text, the stream sends
    `turn_restarted` and continues with the changed text. Set `holds` in a hook that often changes answers.
    """

    holds: bool = False
    """Hold back the stream of a turn until the hooks have seen the response, so that no text is taken back."""

    async def before_run(self, context: RunContext, input: tuple[Message, ...]) -> tuple[Message, ...] | None:
        """Inspect or change the run's input, before anything else happens."""
        return None

    async def after_run(self, context: RunContext, content: str) -> str | None:
        """Inspect or change a candidate answer, before the text is validated, stored and returned."""
        return None

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelRequest | ModelResponse | None:
        """Inspect or change the request of each turn; return a `ModelResponse` to answer in the model's place."""
        return None

    async def after_model(self, context: RunContext, response: ModelResponse) -> ModelResponse | None:
        """Inspect or change the response of each turn."""
        return None

    async def before_tool(self, context: RunContext, call: ToolCall) -> ToolCall | str | None:
        """Inspect or change each tool call; return text to answer in the tool's place."""
        return None

    async def review_call(self, context: RunContext, asked: CallReview) -> Review | None:
        """Judge a call that is about to ask a person; return a `Review`, or `None` to leave the call to the next hook.

        The first review counts. A person is asked unless the review approves. The run's journal keeps the review.
        """
        return None

    async def after_tool(self, context: RunContext, call: ToolCall, content: str) -> str | None:
        """Inspect or change the text that the model will see as the call's result."""
        return None

    def check_tools(self, tools: Mapping[str, Tool]) -> None:
        """Raise `UsageError` if the hook has a rule that cannot hold for the agent's tools. Called before a run."""


@attrs.frozen
class Verdict:
    """A guardrail's finding about a text: `reason` names the problem; `text` is the replacement, or `None` to block.

    A guardrail returns `None` in place of a verdict to let the text pass.
    """

    reason: str
    text: str | None = None


@runtime_checkable
class Guardrail(Protocol):
    """An object that checks texts. Give an agent the guardrail itself, to guard the input, or a `Guard` around it.

    Any number of runs may share a guardrail that keeps nothing of a run. A guardrail that asks a model may have a
    method `bound`, as a model's `Wrapper` has, to return a copy with the runtime's model in place of the spec string.
    """

    @property
    def name(self) -> str:
        """The name in errors and events."""
        ...

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Judge one text; return `None` to pass it. An exception other than an `AgnoError` becomes a `HookError`."""
        ...


@attrs.frozen(eq=False)
class Guard:
    """A guardrail and its places. Raises `UsageError` for an unknown place, and for an object that is not a guardrail.

    Attributes:
        rail: the guardrail
        on: one or more places: `input` checks the texts of the user's messages in the run's input, `output` the answer,
            `tools` the results of tools. The stream of a guarded output is held back until the text has passed. The
            model does not see a blocked result of a tool, but is told of the block, and the run goes on
        race: for the input: ask the model without waiting for the verdict, and cancel the model if the text is blocked.
            Until the verdict, no tool is called and no streamed text leaves the run. A racing guardrail can block, but
            not change, the text.
    """

    rail: Guardrail
    on: tuple[Place, ...] = ("input",)
    race: bool = False

    def __attrs_post_init__(self) -> None:
        _check_rail(self.rail)
        if isinstance(self.on, str) or not self.on:
            wanted = self.on or "input"
            raise UsageError(f"a guard's `on` is {self.on!r}, not a tuple of places", hint=f"Write on=({wanted!r},).")
        for place in self.on:
            if place not in get_args(Place):
                raise UsageError(f"a guard has no place {place!r}", hint=suggest("place", str(place), get_args(Place)))
        if self.race and "input" not in self.on:
            hint = "Leave race=True out, or guard the input as well."
            raise UsageError(f"a guard of the {self.on[0]} cannot race: the model has answered by then", hint=hint)


def _check_rail(rail: object) -> None:
    # A class has the attributes that `isinstance` looks for, too.
    if not isinstance(rail, type) and isinstance(rail, Guardrail):
        return
    hint = "A guardrail needs a name and `async def check(self, context, text)`."
    if isinstance(rail, str):
        hint = "Give the agent the spec string itself; add its place as in 'guardrails:pii:output'."
    elif isinstance(rail, type):
        hint = f"Make an object of the class: {rail.__name__}()."
    elif isinstance(rail, Hook | Guard):
        hint = "Give it to the agent directly, without a Guard."
    raise UsageError(f"{rail!r} in a guard is not a guardrail", hint=hint)
