"""Media and reasoning in whole runs: sent to the model, checked for the model, and kept in sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agno_rt import Agent, Media, Message, ModelRequest, ModelResponse, Runtime, ToolCall, Usage, media, tool
from agno_rt.errors import UsageError
from agno_rt.events import Event, ReasoningDelta, RunStarted, TextDelta
from agno_rt.messages import Part
from agno_rt.models import ModelProfile
from agno_rt.testing import ScriptedModel
from tests.samples import PDF, PNG

DOT = media.image(PNG, name="dot.png")


def parts(*given: Part) -> list[Part]:
    """Return the parts as an input."""
    return list(given)


class Taking(ScriptedModel):
    """A scripted model that accepts the listed media types alone."""

    def __init__(self, steps: Any, *kinds: str) -> None:
        super().__init__(steps)
        self.profile = ModelProfile(media=kinds)


class TestMedia:
    """Media in an input."""

    @pytest.mark.parametrize("input", [["What is this?", DOT], ("What is this?", DOT)])
    async def test_parts_are_one_message(self, input: Any) -> None:
        """A list or tuple of texts and media is a single user message; events have its text."""
        with Taking(["A dot."], "image/*") as model:
            async with Runtime() as runtime, runtime.stream(Agent(model), input) as stream:
                events: list[Event] = [event async for event in stream]
                assert stream.result is not None

        assert model.requests[0].messages == (Message("user", ("What is this?", DOT)),)
        assert stream.result.messages[0] == Message("user", ("What is this?", DOT))
        [started] = [event for event in events if isinstance(event, RunStarted)]
        assert started.input.startswith("What is this?")

    @pytest.mark.parametrize("memory", ["memory:", "sqlite"])
    async def test_a_session_keeps_them(self, tmp_path: Path, memory: str) -> None:
        """A session returns bytes, URLs and reasoning unchanged; SQLite's also in another runtime."""
        url = f"sqlite:///{tmp_path / 'a.db'}" if memory == "sqlite" else memory
        cat = media.image("https://example.com/cat.png")
        model = ScriptedModel([ModelResponse("Two.", reasoning="One, two."), "A dot and a cat."])
        runtime = Runtime(memory=url)
        async with runtime:
            await runtime.run(Agent(model), parts("How many?", DOT, cat), session="s")
            if memory == "memory:":
                await runtime.run(Agent(model), "Which?", session="s")
        if memory == "sqlite":
            async with Runtime(memory=url) as again:
                await again.run(Agent(model), "Which?", session="s")

        asked, answered, _ = model.requests[1].messages
        assert asked == Message("user", ("How many?", DOT, cat))
        assert answered == Message("assistant", "Two.", reasoning="One, two.")

    async def test_a_model_gets_what_it_takes_alone(self) -> None:
        """Media that the model does not accept raise a `UsageError`, and the model is not asked."""
        seeing, blind = Taking([], "image/png"), Taking([])
        async with Runtime() as runtime:
            with pytest.raises(UsageError, match="does not accept application/pdf, and was given"):
                await runtime.run(Agent(seeing), parts("What is this?", media.file(PDF)))
            with pytest.raises(
                UsageError, match=r"does not accept image/png, and was given \[image dot.png, 69 bytes\]"
            ):
                await runtime.run(Agent(blind), parts("What is it?", DOT))

        assert (len(seeing.requests), len(blind.requests)) == (0, 0)

    async def test_what_a_model_cannot_see_of_the_past_is_told_in_words(self) -> None:
        """Media in the history or from a tool, if the model does not accept the type, are described in words."""

        @tool(inline=True)
        def camera() -> Media:
            """Take a picture."""
            return DOT

        seeing, blind = Taking(["A dot."], "image/png"), Taking([ToolCall("c1", "camera"), "I cannot see it."])
        async with Runtime() as runtime:
            await runtime.run(Agent(seeing), parts("What is this?", DOT), session="s")
            await runtime.run(Agent(blind, tools=[camera]), "What was it?", session="s")
            stored = await runtime.memory.load("s")

        asked, _, _, _, taken = blind.requests[1].messages
        assert asked.content == ("What is this?", "[image dot.png, 69 bytes]")
        assert taken.content == ("[image dot.png, 69 bytes]",)
        assert stored.messages[0].media == stored.messages[4].media == (DOT,)

    @pytest.mark.parametrize(
        "input",
        [
            [Media("image", "image/png")],
            ["a", 5],
            [" ", "\n"],
            [Message("user", (Media("image", "png", PNG),))],
            [Message("user", ["a"])],  # type: ignore[arg-type]  # the point of the test
        ],
    )
    async def test_what_is_malformed(self, input: Any) -> None:
        """Empty or malformed parts never reach a model."""
        async with Runtime() as runtime:
            with pytest.raises(UsageError):
                await runtime.run(Agent(ScriptedModel([])), input)

    async def test_a_tool_returns_them(self) -> None:
        """Media from a tool are shown to the model with the tool's result."""

        @tool(inline=True)
        def camera() -> Media:
            """Take a picture."""
            return DOT

        with ScriptedModel([ToolCall("c1", "camera"), "A dot."]) as model:
            async with Runtime() as runtime:
                await runtime.run(Agent(model, tools=[camera]), "Look.")

        assert model.requests[1].messages[-1].media == (DOT,)


class TestReasoning:
    """A model's reasoning."""

    async def test_it_is_apart_from_the_answer(self) -> None:
        """Reasoning streams as separate deltas; the result and the last message have reasoning and answer apart."""
        model = ScriptedModel([ModelResponse("So.", reasoning="Hm.", usage=Usage(9, 5, 3, 8))])
        async with Runtime() as runtime, runtime.stream(Agent(model), "Well?") as stream:
            events = [event async for event in stream]
        result = stream.result

        assert result is not None
        assert (result.content, result.reasoning, result.usage) == ("So.", "Hm.", Usage(9, 5, 3, 8))
        assert result.messages[-1] == Message("assistant", "So.", reasoning="Hm.")
        assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == "Hm."
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "So."

    async def test_it_is_counted_over_all_turns(self) -> None:
        """Reasoning tokens add up over all turns; the result has the reasoning of the last turn."""

        @tool(inline=True)
        def clock() -> str:
            """Tell the time."""
            return "noon"

        calling = ModelResponse("", (ToolCall("c1", "clock"),), "I have to look.", Usage(5, 4, 4))
        with ScriptedModel([calling, ModelResponse("Noon.", reasoning="Clear.", usage=Usage(9, 3, 1))]) as model:
            async with Runtime() as runtime:
                result = await runtime.run(Agent(model, tools=[clock]), "What time is it?")

        assert (result.reasoning, result.usage.reasoning_tokens) == ("Clear.", 5)
        assert result.messages[1].reasoning == "I have to look."

    async def test_the_model_may_have_it_back(self) -> None:
        """The request has the reasoning of earlier turns, for providers that want the text back."""
        seen: list[str] = []

        def answer(request: ModelRequest) -> str:
            seen.extend(message.reasoning for message in request.messages)
            return "b"

        async with Runtime() as runtime:
            agent = Agent(ScriptedModel([ModelResponse("a", reasoning="Hm."), answer]))
            await runtime.run(agent, "x", session="s")
            await runtime.run(agent, "y", session="s")

        assert seen == ["", "Hm.", ""]
