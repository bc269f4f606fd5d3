"""Recorded models: contents of a cassette, its answers, and its errors without an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Media, Message, ModelRequest, ModelResponse, ModelSettings, Runtime, ToolCall, Usage, tool
from agno_rt.errors import ModelError, UsageError
from agno_rt.events import Delta, ReasoningDelta, RunEnded, TextDelta, ToolCallDelta
from agno_rt.hookspecs import Register
from agno_rt.models import Model, ModelProfile
from agno_rt.plugins import PluginHost
from agno_rt.testing import Cassette, ModelContract, Reply, ScriptedModel, Step
from agno_rt.testing.cassettes import Mode

HI = ModelRequest([Message("user", "hi")])
Tape = dict[str, Any]


@tool
async def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the cassette."""
    return tmp_path / "cassettes" / "talk.json"


async def record(path: Path, steps: list[Any], requests: list[ModelRequest], **options: Any) -> list[ModelResponse]:
    """Record a model's answers to the requests."""
    with ScriptedModel(steps) as model, Cassette(path, model, mode="record", **options) as cassette:
        return [await cassette.respond(request) for request in requests]


def text_of(path: Path) -> str:
    """Return the file's text."""
    return path.read_text(encoding="utf-8")


def read_tape(path: Path) -> Tape:
    """Return the parsed file."""
    tape: Tape = json.loads(text_of(path))
    return tape


class TestRecordAndReplay:
    """Recorded exchanges are replayed without the model."""

    async def test_answers_as_recorded(self, path: Path) -> None:
        """Text, reasoning, calls and usage are replayed unchanged."""
        call = ToolCall("a", "weather", '{"city": "Seoul"}')
        response = ModelResponse("It is", [call], "hm", Usage(3, 4, 2, 1, 0.5), "tool_calls")
        other = ModelRequest([Message("user", "else")])
        await record(path, [response, "something else"], [HI, other])

        with Cassette(path) as cassette:
            answers = [await cassette.respond(other), await cassette.respond(HI)]

        assert answers == [ModelResponse("something else", usage=Usage(1, 2)), response]

    async def test_streams_as_recorded(self, path: Path) -> None:
        """A streamed answer is replayed piece by piece; any other comes in one piece of each kind."""
        response = ModelResponse("a b", [ToolCall("1", "t", "{}")], "hm")
        heard: list[Delta] = []
        again: list[Delta] = []

        async def hear(delta: Delta) -> None:
            heard.append(delta)

        async def hear_again(delta: Delta) -> None:
            again.append(delta)

        with ScriptedModel([response] * 2) as model, Cassette(path, model, mode="record") as cassette:
            await cassette.respond(HI, hear)
            await cassette.respond(HI)
        with Cassette(path) as cassette:
            await cassette.respond(HI, hear_again)
            await cassette.respond(HI, hear_again)

        call = ToolCallDelta(0, "1", "t", "{}")
        assert heard == [ReasoningDelta("hm"), TextDelta("a "), TextDelta("b"), call]
        assert again == [*heard, ReasoningDelta("hm"), TextDelta("a b"), call]

    async def test_fails_as_recorded(self, path: Path) -> None:
        """A model's error is replayed with all attributes, after the streamed pieces."""
        error = ModelError("busy", hint="Wait.", provider="x", status=429, retryable=True, retry_after=1.5)
        heard: list[Delta] = []

        async def hear(delta: Delta) -> None:
            heard.append(delta)

        model = ScriptedModel([Reply("half", error=error)])
        with Cassette(path, model, mode="record") as cassette, pytest.raises(ModelError) as first:
            await cassette.respond(HI, hear)
        with Cassette(path) as cassette, pytest.raises(ModelError) as second:
            await cassette.respond(HI, hear)

        assert first.value is error
        assert second.value is not error
        told = [(e.message, e.hint, e.provider, e.status, e.retryable, e.retry_after) for e in (error, second.value)]
        assert told[0] == told[1]
        assert heard == [TextDelta("half")] * 2

    async def test_the_same_question_twice(self, path: Path) -> None:
        """Each exchange answers once, in the order of the recording."""
        await record(path, ["one", "two"], [HI, HI])

        with Cassette(path) as cassette:
            assert [(await cassette.respond(HI)).content for _ in "12"] == ["one", "two"]

    async def test_knows_the_recorded_model(self, path: Path) -> None:
        """The name and profile come from the file, so that a run asks in the same way."""
        profile = ModelProfile(output="tool", media=("image/*",))
        with ScriptedModel(["ok"], name="openai:gpt-5", profile=profile) as model:
            with Cassette(path, model, mode="record") as cassette:
                await cassette.respond(HI)
            assert (cassette.name, cassette.profile) == ("openai:gpt-5", profile)

        replayed = Cassette(path)
        assert (replayed.name, replayed.profile) == ("openai:gpt-5", profile)

    async def test_an_answer_that_is_cancelled_is_not_recorded(self, path: Path, autojump_clock: Any) -> None:
        """A cancelled exchange is not recorded; the exchanges before and after are."""
        steps: list[Step] = ["one", Reply("never", after=1_000), "three"]
        with ScriptedModel(steps) as model, Cassette(path, model, mode="record") as cassette:
            await cassette.respond(HI)
            with trio.move_on_after(1):
                await cassette.respond(HI)
            await cassette.respond(HI)

        assert [one["response"]["content"] for one in read_tape(path)["exchanges"]] == ["one", "three"]

    async def test_concurrent_exchanges_keep_their_order(self, path: Path, autojump_clock: Any) -> None:
        """The file has the exchanges in the order of the requests, not of the answers."""
        scripts = {"slow": [Reply("late", after=9)], "quick": [Reply("soon", after=2)]}

        async def ask(cassette: Cassette, text: str, after: float) -> None:
            await trio.sleep(after)
            answer = await cassette.respond(ModelRequest([Message("user", text)]))
            assert answer.content == scripts[text][0].said

        modes: tuple[Mode, ...] = ("record", "replay")
        for mode in modes:
            with Cassette(path, ScriptedModel(scripts), mode=mode) as cassette:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ask, cassette, "slow", 0)
                    nursery.start_soon(ask, cassette, "quick", 1)

        assert [one["response"]["content"] for one in read_tape(path)["exchanges"]] == ["late", "soon"]

    async def test_can_be_cancelled(self, path: Path) -> None:
        """Replaying is a checkpoint, like asking."""
        await record(path, ["one"], [HI])
        with trio.CancelScope() as scope:
            scope.cancel()
            await Cassette(path).respond(HI)

        assert scope.cancelled_caught


class TestTheFile:
    """The file is readable for people, and the same each time."""

    async def test_is_readable(self, path: Path) -> None:
        """Default values are left out, short objects are on one line, and text is not escaped."""
        await record(path, ["안녕하세요, nice"], [HI])

        assert text_of(path) == (
            "{\n"
            '  "agno_rt_cassette": 1,\n'
            '  "model": "scripted",\n'
            '  "exchanges": [\n'
            "    {\n"
            '      "request": {"messages": [{"role": "user", "content": "hi"}]},\n'
            '      "response": {"content": "안녕하세요, nice", "usage": {"input_tokens": 1, "output_tokens": 2}}\n'
            "    }\n"
            "  ]\n"
            "}\n"
        )

    async def test_has_all_that_changes_an_answer(self, path: Path) -> None:
        """A request has messages, tools with their schemas, settings, output schema and user; media as hashes alone."""
        image = Media("image", "image/png", b"\x89PNG")
        history = (
            Message("user", ("look", image)),
            Message("assistant", "", (ToolCall("random-id", "weather", '{"city": "Seoul"}'),)),
            Message("tool", "sunny", tool_call_id="random-id", name="weather"),
        )
        request = ModelRequest(history, [weather], "required", {"type": "object"}, ModelSettings(0.5), 2, "alice")
        await record(path, ["fine"], [request])

        asked = read_tape(path)["exchanges"][0]["request"]
        digest = "0f4636c78f65d3639ece5a064b5ae753e3408614a14fb18ab4d7540d2c248543"
        assert asked["messages"] == [
            {
                "role": "user",
                "content": [
                    "look",
                    {"kind": "image", "media_type": "image/png", "data": {"bytes": 4, "sha256": digest}},
                ],
            },
            {
                "role": "assistant",
                "tool_calls": [{"id": "call 1", "name": "weather", "arguments": '{"city": "Seoul"}'}],
            },
            {"role": "tool", "content": "sunny", "tool_call_id": "call 1", "name": "weather"},
        ]
        assert asked["tools"][0]["name"] == "weather"
        assert asked["tools"][0]["parameters"]["required"] == ["city"]
        assert (asked["tool_choice"], asked["output"], asked["user"]) == ("required", {"type": "object"}, "alice")
        assert asked["settings"] == {"temperature": 0.5}
        assert "turn" not in asked

    async def test_is_the_same_each_time(self, path: Path) -> None:
        """Recording the same exchanges again does not change the file."""
        await record(path, ["one", "two"], [HI, HI])
        before = text_of(path)
        await record(path, ["one", "two"], [HI, HI])

        assert text_of(path) == before

    async def test_scrubs_what_must_not_be_in_it(self, path: Path) -> None:
        """Scrubbed values are neither stored nor compared."""

        def scrub(request: dict[str, Any]) -> dict[str, Any]:
            return request | {"user": "somebody"}

        await record(path, ["ok"], [attrs.evolve(HI, user="alice")], scrub=scrub)
        with Cassette(path, scrub=scrub) as cassette:
            await cassette.respond(attrs.evolve(HI, user="bob"))

        assert "alice" not in text_of(path)

    async def test_settings_that_no_file_can_carry(self, path: Path) -> None:
        """Settings without a JSON form raise `UsageError`."""
        request = attrs.evolve(HI, settings=ModelSettings(extra={"when": object()}))
        with pytest.raises(UsageError, match="cannot be written to a cassette"):
            await record(path, [], [request])

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("nonsense", "not a cassette: JSON is malformed"),
            ('{"exchanges": []}', "missing required field `agno_rt_cassette`"),
            ('{"agno_rt_cassette": 9}', "its format is 9"),
            ('{"agno_rt_cassette": 1, "exchanges": [{"request": {}}]}', "exchange 0 has no response"),
            (
                '{"agno_rt_cassette": 1, "exchanges": [{"request": {}, "response": {"content": 3}}]}',
                r"Expected `str`, got `int` - at `\$.exchanges\[0\].response.content`",
            ),
        ],
    )
    def test_a_file_that_is_none(self, path: Path, text: str, why: str) -> None:
        """A broken file raises an error with the place, and with the command for a new recording."""
        path.parent.mkdir()
        path.write_text(text)
        with pytest.raises(UsageError, match=why) as caught:
            Cassette(path)

        assert "--agno-rt-record" in caught.value.hint


class TestWhatIsNotRecorded:
    """A request without an answer, and an answer without a request."""

    async def test_shows_what_differs(self, path: Path) -> None:
        """The message has the difference from the nearest recorded request, and nothing of other requests."""
        other = ModelRequest([Message("user", "something else altogether")], tool_choice="required")
        await record(path, ["one", "two"], [HI, other])
        cassette = Cassette(path)
        asked = attrs.evolve(HI, settings=ModelSettings(temperature=0.7))
        with pytest.raises(AssertionError) as caught:
            await cassette.respond(asked)

        lines = str(caught.value).splitlines()
        assert '+    "temperature": 0.7' in lines
        assert "something else altogether" not in str(caught.value)
        assert lines[0].endswith("talk.json has no such request; the nearest differs in this:")
        assert "pytest --agno-rt-record" in lines[-1]

    async def test_a_long_difference_is_cut(self, path: Path) -> None:
        """A long difference is cut."""
        await record(path, ["one"], [HI])
        asked = ModelRequest([Message("user", f"{number}") for number in range(1_000)])
        with pytest.raises(AssertionError, match=r"\.\.\. and \d+ lines more") as caught:
            await Cassette(path).respond(asked)

        assert len(str(caught.value).splitlines()) < 70

    async def test_asked_once_more(self, path: Path) -> None:
        """A request recorded once is answered once."""
        await record(path, ["one"], [HI])
        cassette = Cassette(path)
        await cassette.respond(HI)
        with pytest.raises(AssertionError, match="this was recorded once, and is asked once more"):
            await cassette.respond(HI)

    async def test_cannot_hide(self, path: Path) -> None:
        """A run turns the failure into a `ModelError`, which a test may swallow; the end of the block fails too."""
        await record(path, ["one"], [HI])
        with pytest.raises(AssertionError, match="has no such request"), Cassette(path) as cassette:  # noqa: PT012 - the whole block is what raises
            async with Runtime() as rt:
                with pytest.raises(ModelError):
                    await rt.run(Agent(cassette), "something else")

    async def test_what_nobody_asked_for(self, path: Path) -> None:
        """An unused exchange is an error at the end, and the message has its request."""
        await record(path, ["one"], [HI])
        left = pytest.raises(AssertionError, match=r"has 1 exchange that nobody asked for, the first:\n.*\"hi\"")
        with left, Cassette(path):
            pass

    async def test_a_failing_test_keeps_its_own_error(self, path: Path) -> None:
        """A failing block raises its own error, without the unused exchanges."""
        await record(path, ["one"], [HI])
        with pytest.raises(ZeroDivisionError), Cassette(path):
            raise ZeroDivisionError

    def test_no_file(self, path: Path) -> None:
        """A missing cassette raises an error at once, with the command for a recording."""
        with pytest.raises(UsageError, match="there is no cassette") as caught:
            Cassette(path)

        assert "--agno-rt-record" in caught.value.hint

    def test_no_model_to_record(self, path: Path) -> None:
        """Recording needs a model."""
        with pytest.raises(UsageError, match="has no model to record"):
            Cassette(path, mode="record")

    def test_no_such_mode(self, path: Path) -> None:
        """A misspelt mode raises `UsageError`."""
        with pytest.raises(UsageError, match="mode of a cassette is 'rec'"):
            Cassette(path, mode="rec")  # type: ignore[arg-type]


class TestAuto:
    """The mode with calls of the model for missing exchanges only."""

    async def test_records_what_is_missing(self, path: Path) -> None:
        """Recorded exchanges are replayed, and new ones are recorded after them."""
        await record(path, ["one"], [HI])
        other = ModelRequest([Message("user", "else")])
        with ScriptedModel(["two"]) as model, Cassette(path, model, mode="auto") as cassette:
            answers = [(await cassette.respond(request)).content for request in (HI, other)]

        assert answers == ["one", "two"]
        with Cassette(path) as cassette:
            assert [(await cassette.respond(request)).content for request in (HI, other)] == answers

    async def test_forgets_what_is_no_longer_asked(self, path: Path) -> None:
        """An unused exchange is removed from the file."""
        await record(path, ["one", "two"], [HI, attrs.evolve(HI, user="alice")])
        with Cassette(path, ScriptedModel([]), mode="auto") as cassette:
            await cassette.respond(HI)

        assert len(read_tape(path)["exchanges"]) == 1

    async def test_begins_without_a_file(self, path: Path) -> None:
        """Without a file everything is recorded."""
        with ScriptedModel(["one"]) as model, Cassette(path, model, mode="auto") as cassette:
            await cassette.respond(HI)

        assert len(read_tape(path)["exchanges"]) == 1

    async def test_without_a_model(self, path: Path) -> None:
        """Without a model, a missing request fails as in replay."""
        with pytest.raises(AssertionError, match="is empty, and is asked"):
            await Cassette(path, mode="auto").respond(HI)


class TestInARuntime:
    """A cassette is a model like any other, and may have a spec."""

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_run_with_tools(self, path: Path, streamed: bool) -> None:
        """A whole run in a session is recorded and replayed."""
        call = ToolCall("", "weather", '{"city": "Seoul"}')
        steps: list[Step] = [call, "It is sunny in Seoul.", "As I said: sunny."]

        async def talk(model: Model) -> list[str]:
            agent, answers = Agent(model, "assistant", tools=[weather]), []
            async with Runtime() as rt:
                for text in ("What is it like in Seoul?", "Sorry?"):
                    if streamed:
                        async with rt.stream(agent, text, session="s") as events:
                            ended = [event async for event in events][-1]
                        assert isinstance(ended, RunEnded)
                        answers.append(ended.content)
                    else:
                        answers.append((await rt.run(agent, text, session="s")).content)
            return answers

        with ScriptedModel(steps) as model, Cassette(path, model, mode="record") as cassette:
            first = await talk(cassette)
        with Cassette(path) as cassette:
            again = await talk(cassette)

        assert first == again == steps[1:]
        assert len(read_tape(path)["exchanges"]) == 3

    async def test_a_spec_is_bound_by_the_runtime(self, path: Path, plugin_point: Callable[..., EntryPoint]) -> None:
        """The model to record may be a spec; replaying needs no plugin."""
        with ScriptedModel(["one"], name="mine:small") as model:

            def offer(register: Register) -> None:
                register("small", lambda rest, settings: model)

            host = PluginHost([plugin_point("mine", agno_rt_register_models=offer)])
            async with Runtime(plugins=host) as rt:
                await rt.run(Agent(Cassette(path, "mine:small", mode="record")), "hi")

        with Cassette(path, "mine:small") as cassette:
            async with Runtime() as rt:
                result = await rt.run(Agent(cassette), "hi")
        assert (result.content, cassette.name) == ("one", "mine:small")

    async def test_a_spec_needs_a_runtime(self, path: Path) -> None:
        """A spec cannot be recorded outside of a runtime."""
        with pytest.raises(UsageError, match="outside of a runtime"):
            await Cassette(path, "mine:small", mode="record").respond(HI)


class TestAReplayIsAModel(ModelContract):
    """A replayed model fulfils the contract of models."""

    calls_tools = False

    @pytest.fixture(autouse=True)
    def _tape(self, tmp_path: Path) -> None:
        self.path = tmp_path / "contract.json"

    def make_model(self) -> Model:
        """Make a recording cassette of a constant model."""
        return Cassette(self.path, ScriptedModel(lambda request: "Hello there."), mode="auto")
