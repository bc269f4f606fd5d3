"""What may stand around the steps of a run: hooks, of which a guardrail is one kind. Knows nothing of how a run runs.

A hook is an object with some of the six methods of `Hook`. They are asked in the order in which the agent lists them,
the ones after a step in the reverse order, as layers around it. Each may change what passes by returning another
value, refuse it by raising `Blocked`, or let it pass by returning `None`.
"""

from __future__ import annotations

from typing import Literal, Protocol, get_args, runtime_checkable

import attrs

from agno_rt.context import RunContext
from agno_rt.errors import UsageError, suggest
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse

__all__ = ["Guard", "Guardrail", "Hook", "Place", "Verdict"]

Place = Literal["input", "output", "tools"]


class Hook:
    """The base of a hook: override what you need; what is not overridden costs a run nothing.

    A hook is shared by all runs of its agent, at the same time too: keep what belongs to one run in `context.kept`.
    Raise `Blocked` to refuse: that ends the run, wherever it is. Any other exception that is not one of ours ends it as
    a `HookError`. What is streamed is what the model wrote; where `after_model` or `after_run` then change it, the
    stream says `turn_restarted` and goes on with the changed text. A hook that often changes answers sets `holds`.
    """

    holds: bool = False
    """Hold back what a turn streams until the hooks have seen the response, so that no text is taken back."""

    async def before_run(self, context: RunContext, input: tuple[Message, ...]) -> tuple[Message, ...] | None:
        """Before anything else of the run: may change the input."""
        return None

    async def after_run(self, context: RunContext, content: str) -> str | None:
        """With a text that would be the answer, before it is validated, stored and returned: may change it."""
        return None

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelRequest | ModelResponse | None:
        """Before each turn: may change the request, or answer it in the model's place."""
        return None

    async def after_model(self, context: RunContext, response: ModelResponse) -> ModelResponse | None:
        """With each turn's response: may change it."""
        return None

    async def before_tool(self, context: RunContext, call: ToolCall) -> ToolCall | str | None:
        """Before each tool call: may change the call, or answer it, with text, in the tool's place."""
        return None

    async def after_tool(self, context: RunContext, call: ToolCall, content: str) -> str | None:
        """With what the model will be told of the call: may change it."""
        return None


@attrs.frozen
class Verdict:
    """What a guardrail says of a text: `reason` names what was found; `text` is what may pass in its place.

    `None` instead of a verdict lets the text pass; a verdict without a `text` blocks it.
    """

    reason: str
    text: str | None = None


@runtime_checkable
class Guardrail(Protocol):
    """Something that checks texts. Give it to an agent as it is (it then guards the input), or within a `Guard`.

    One that keeps nothing of a run may be shared by any number of runs. One that asks a model may have a method
    `bound`, as a `Wrapper` of models has it, that returns it with what the runtime has for its spec string.
    """

    @property
    def name(self) -> str:
        """What errors and events call it."""
        ...

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Judge one text: `None` lets it pass. May raise; any exception that is not one of ours is a `HookError`."""
        ...


@attrs.frozen(eq=False)
class Guard:
    """Puts a guardrail in its places. Raises `UsageError` for places that there are not, and for no guardrail.

    Attributes:
        rail: the guardrail
        on: where it looks, one or more: at the texts of the user's messages in the run's `input`; at its `output`; at
            what `tools` return. What is streamed of a guarded output is held back until it has passed. A tool's result
            that is blocked is kept from the model, which is told so, and the run goes on
        race: for the input: do not wait for the verdict, ask the model meanwhile, and cancel it if the text is
            blocked. Until the verdict is there no tool is called and nothing that was streamed leaves the run. A racing
            guardrail can block, not change.
    """

    rail: Guardrail
    on: tuple[Place, ...] = ("input",)
    race: bool = False

    def __attrs_post_init__(self) -> None:
        _check_rail(self.rail)
        if isinstance(self.on, str) or not self.on:
            wanted = self.on or "input"
            raise UsageError(f"a guard stands on {self.on!r}, which are no places", hint=f"Write on=({wanted!r},).")
        for place in self.on:
            if place not in get_args(Place):
                raise UsageError(
                    f"a guard cannot stand on {place!r}", hint=suggest("place", str(place), get_args(Place))
                )
        if self.race and "input" not in self.on:
            hint = "Leave race=True out, or guard the input as well."
            raise UsageError(
                f"a guard of the {self.on[0]} has nothing to race: the model has answered by then", hint=hint
            )


def _check_rail(rail: object) -> None:
    if not isinstance(rail, type) and isinstance(rail, Guardrail):
        return
    hint = "It needs a name and `async def check(self, context, text)`."
    if isinstance(rail, str):
        hint = "Give the agent the spec string as it is; it can name its place, as in 'guardrails:pii:output'."
    elif isinstance(rail, type):
        hint = f"That is a class: write {rail.__name__}()."
    elif isinstance(rail, Hook | Guard):
        hint = "Give it to the agent as it is."
    raise UsageError(f"{rail!r} in a guard is no guardrail", hint=hint)
