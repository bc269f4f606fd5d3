"""Hooks around tool calls: change the call, answer in its place, change the result, or refuse and end the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import pytest
import trio

from agno_rt import Agent, Runtime, ToolCall, tool
from agno_rt._decide.hooks import Hooks
from agno_rt.context import RunContext
from agno_rt.errors import Blocked, HookError
from agno_rt.events import Event, RunEnded, ToolEnded, ToolStarted
from agno_rt.hooks import Hook
from agno_rt.media import image
from agno_rt.messages import Media
from agno_rt.testing import ScriptedModel
from tests.helpers import echo, forever, told
from tests.tool_helpers import calls_of, job_of, listening, told_of

WellFormed = Callable[[Sequence[Event]], None]
DOT = image(b"\x89PNG\r\n\x1a\n" + bytes(32), name="dot.png")


@attrs.define(eq=False)
class Around(Hook):
    """A hook with scripted actions and a log."""

    before: Callable[[ToolCall], ToolCall | str | None] = lambda call: None
    after: Callable[[ToolCall, str], str | None] = lambda call, content: None
    seen: list[object] = attrs.Factory(list)

    async def before_tool(self, context: RunContext, call: ToolCall) -> ToolCall | str | None:
        """Act before a call."""
        await trio.lowlevel.checkpoint()
        assert context.call == call
        self.seen.append(call)
        return self.before(call)

    async def after_tool(self, context: RunContext, call: ToolCall, content: str) -> str | None:
        """Act after a call."""
        await trio.lowlevel.checkpoint()
        assert context.call == call
        self.seen.append(content)
        return self.after(call, content)


def with_text(text: str) -> Callable[[ToolCall], ToolCall]:
    """Make a function that changes a call's argument."""
    return lambda call: attrs.evolve(call, arguments=f'{{"text": "{text}"}}', id="another")


async def test_they_see_what_passes(well_formed: WellFormed) -> None:
    """A hook without changes sees each call and each result, failures too."""
    hook = Around()
    calls = [*calls_of("echo", '{"text": "a"}', "{"), ToolCall("n", "nothing")]
    events: list[Event] = []
    async with Runtime(observers=[events.append]) as rt:
        result = await rt.run(Agent(ScriptedModel([calls, "x"]), tools=[echo], hooks=[hook]), "x")

    well_formed(events)
    assert told(result)[0] == "a"
    assert all(content in hook.seen for content in [*calls, *told(result)])


async def test_a_changed_call() -> None:
    """The tool and the event get the changed call; the result belongs to the model's call."""
    events: list[Event] = []
    job = job_of(echo, hooks=Hooks.of([Around(with_text("b"))]), emitter=listening(events))

    assert await told_of(job, calls_of("echo", '{"text": "a"}')) == ["b"]
    assert isinstance(events[0], ToolStarted)
    assert events[0].call == ToolCall("echo 0", "echo", '{"text": "b"}')


async def test_an_answer_in_its_place() -> None:
    """A hook's answer becomes the result without a call of the tool, with events for start and end."""
    events: list[Event] = []
    hook = Around(lambda call: "mine", lambda call, content: f"<{content}>")
    job = job_of(forever, hooks=Hooks.of([hook]), emitter=listening(events))

    assert await told_of(job, calls_of("forever", "{}")) == ["<mine>"]
    assert [type(event) for event in events] == [ToolStarted, ToolEnded]
    assert isinstance(events[1], ToolEnded)
    assert (events[1].status, events[1].content) == ("completed", "<mine>")


async def test_layers() -> None:
    """Several hooks run in order before a call, and in reverse order after."""
    outer = Around(with_text("outer"), lambda call, content: f"outer({content})")
    inner = Around(with_text("inner"), lambda call, content: f"inner({content})")

    job = job_of(echo, hooks=Hooks.of([outer, inner]))
    assert await told_of(job, calls_of("echo", "{}")) == ["outer(inner(inner))"]


async def test_media_pass() -> None:
    """A hook sees media as text. Without a change, the media reach the model; otherwise the text does."""

    @tool(inline=True)
    def draw() -> list[str | Media]:
        """Draw."""
        return ["a dot", DOT]

    hook = Around()
    assert await told_of(job_of(draw, hooks=Hooks.of([hook])), calls_of("draw", "{}")) == [("a dot", DOT)]
    assert hook.seen[1] == "a dot\n[image dot.png, 40 bytes]"

    changing = Hooks.of([Around(after=lambda call, content: "no pictures")])
    assert await told_of(job_of(draw, hooks=changing), calls_of("draw", "{}")) == ["no pictures"]


@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [Blocked("no", guard="g"), ValueError("bang")])
async def test_a_refusal_ends_the_run(calls: int, when: str, error: Exception, well_formed: WellFormed) -> None:
    """A hook that refuses or fails ends the run with a bare error, and every start has an end."""

    def refuse(call: ToolCall, content: str = "") -> None:
        raise error

    hook = Around(before=refuse) if when == "before" else Around(after=refuse)
    events: list[Event] = []
    async with Runtime(observers=[events.append]) as rt:
        agent = Agent(ScriptedModel([calls_of("echo", *["{}"] * calls)]), tools=[echo], hooks=[hook])
        with pytest.raises(Blocked if isinstance(error, Blocked) else HookError) as caught:
            await rt.run(agent, "x")

    well_formed(events)
    assert caught.value.result.status == "failed"
    assert [message.role for message in caught.value.result.messages] == ["user"]
    assert isinstance(events[-1], RunEnded)


async def test_around_a_batch() -> None:
    """Each call of a batch has its own hooks: a change, an answer, a call of another tool."""
    batches: list[list[int]] = []

    @tool(batch=True)
    async def double(numbers: list[int]) -> list[int]:
        """Double."""
        batches.append(numbers)
        return [number * 2 for number in numbers]

    def before(call: ToolCall) -> ToolCall | str | None:
        changed: dict[str, ToolCall | str] = {
            "double 0": attrs.evolve(call, arguments='{"item": 5}'),
            "double 1": "answered",
            "double 2": ToolCall("double 2", "echo", '{"text": "elsewhere"}'),
        }
        return changed.get(call.id)

    events: list[Event] = []
    hooks = Hooks.of([Around(before, lambda call, content: f"<{content}>")])
    job = job_of(double, echo, hooks=hooks, emitter=listening(events))
    contents = await told_of(job, calls_of("double", *[f'{{"item": {at}}}' for at in range(4)]))

    assert contents == ["<10>", "<answered>", "<elsewhere>", "<6>"]
    assert batches == [[5, 3]]
    assert sum(isinstance(event, ToolEnded) for event in events) == 4
