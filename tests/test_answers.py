"""The hooks `answers:basics` and `answers:FILE.toml`: ready answers in place of the model's, and examples for the
model."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from agno_rt import Agent, ModelRequest, ModelResponse, Output, Runtime, run
from agno_rt.defaults.answers import AnswersHook, Examples, Reply
from agno_rt.errors import ConfigError, UsageError
from agno_rt.events import TextDelta
from agno_rt.testing import ScriptedModel

SUMS = (
    ("2+2", "2 + 2 = 4"),
    ("What is 17 times 23?", "17 \u00d7 23 = 391"),
    ("how much is 15% of 80", "15% of 80 = 12"),
    ("what's 10 divided by 3?", "10 \u00f7 3 \u2248 3.333333"),
    ("calculate (2+3)*4", "(2 + 3) \u00d7 4 = 20"),
    ("two plus two", "2 + 2 = 4"),
    ("1,000 - 1", "1000 \u2212 1 = 999"),
    ("2^10 =", "2^10 = 1024"),
    ("-5 + 3", "\u22125 + 3 = \u22122"),
    ("12 x 12", "12 \u00d7 12 = 144"),
    ("What is 1 divided by 0?", "Nobody can divide by zero."),
)
NO_SUMS = (
    "Tell me about 7 dwarfs.",
    "What is 5?",
    "2026-11-29",
    "555-123-4567",
    "24/7",
    "Write two lines about the sea.",
    "9^9^9",
    "1)",
    "9" * 200,
)


def asks_model(text: str) -> ModelRequest | None:
    """Return the request that `answers:basics` passes on to the model; `None` if the hook answers."""
    seen: list[ModelRequest] = []

    def answer(request: ModelRequest) -> ModelResponse:
        seen.append(request)
        return ModelResponse("from the model")

    run(Agent(ScriptedModel([answer]), "a", "Be brief.", hooks=["answers:basics"]), text)
    return seen[0] if seen else None


def answered(text: str) -> str:
    """Return the answer of `answers:basics`. The model would fail."""
    return run(Agent(ScriptedModel([]), "a", hooks=["answers:basics"]), text).content


@pytest.mark.parametrize(("asked", "told"), SUMS)
def test_sums_are_worked_out(asked: str, told: str) -> None:
    """A sum in words or signs is answered exactly, without the model."""
    assert answered(asked) == told


@pytest.mark.parametrize("text", NO_SUMS)
def test_what_is_no_sum_goes_to_the_model(text: str) -> None:
    """The model answers texts with numbers, dates, telephone numbers and sums without a bound."""
    assert asks_model(text) is not None


@pytest.mark.parametrize(
    "text", ["hi", "Hello!", " hey there ", "Good morning", "How are you?", "Say hello.", "bonjour"]
)
def test_greetings_are_returned(text: str) -> None:
    """A greeting is answered with a greeting, in any case and punctuation."""
    assert "help" in answered(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("What can you do?", "rewrite"),
        ("Who are you?", "assistant"),
        ("thanks!", "welcome"),
        ("Bye", "Goodbye"),
        ("Hi, my name is Ann-Marie.", "Nice to meet you, Ann-Marie!"),
        ("?", "What would you like"),
        ("What is the weather today?", "cannot know"),
        ("any news today?", "cannot know"),
        ("Translate to Spanish: Good morning", "cannot translate"),
    ],
)
def test_what_people_try_first_is_answered(text: str, word: str) -> None:
    """Questions about the assistant's abilities and limits are answered without the model."""
    assert word in answered(text)


def test_the_date_and_the_time_are_the_computers() -> None:
    """The date and the time come from the clock, not from the model."""
    replies = (Reply("date", compute="date"), Reply("time", compute="time"))
    hook = AnswersHook(replies, clock=lambda: datetime(2026, 11, 29, 14, 5))

    assert run(Agent(ScriptedModel([]), "a", hooks=[hook]), "the date?").content == "Today is Sunday, 29 November 2026."
    assert run(Agent(ScriptedModel([]), "a", hooks=[hook]), "the time?").content == "It is 14:05 on this computer."
    assert "Today is" in answered("What's the date today?")
    assert "It is" in answered("what time is it?")


@pytest.mark.parametrize(
    "text",
    [
        "Hello, can you write a poem about a dog called Bye?",
        "What is the date of the French Revolution?",
        "What does the weather do to iron?",
        "Who are you going to vote for?",
        "How do I test a program?",
    ],
)
def test_longer_inputs_go_to_the_model(text: str) -> None:
    """The model answers an input that only begins like small talk."""
    assert asks_model(text) is not None


def test_the_model_is_shown_examples_of_the_same_kind() -> None:
    """Example turns of the same kind stand between the instructions and the input."""
    request = asks_model("Rewrite politely: Send me the report now.")

    assert request is not None
    roles = [message.role for message in request.messages]
    assert roles == ["system", *("user", "assistant") * 3, "user"]
    assert "Rewrite" in request.messages[1].text
    assert request.messages[-1].text == "Rewrite politely: Send me the report now."


def test_examples_are_not_stored() -> None:
    """Examples go to the model only, not into a session or a result."""
    hook = AnswersHook(examples=(Examples("", [["a", "b"]]),))
    result = run(Agent(ScriptedModel(["yes"]), "a", hooks=[hook]), "really?")

    assert [message.text for message in result.messages] == ["really?", "yes"]


def test_an_answer_of_a_type_is_the_models() -> None:
    """The hook answers nothing for an agent with an output type."""
    agent = Agent(ScriptedModel(['{"value": 4}']), "a", hooks=["answers:basics"], output=Output(dict[str, int]))

    assert run(agent, "2+2").output == {"value": 4}


async def test_a_stream_has_the_answer_as_text() -> None:
    """A stream carries a ready answer as text, like a model's answer."""
    agent = Agent(ScriptedModel([]), "a", hooks=["answers:basics"])

    async with Runtime() as runtime, runtime.stream(agent, "hi") as events:
        told = [event.text async for event in events if isinstance(event, TextDelta)]

    assert "".join(told) == "Hello! How can I help you?"


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    """A file adds replies and examples. The model answers everything else."""
    file = tmp_path / "shop.toml"
    file.write_text('[[replies]]\nwhen = "opening hours"\nsay = "From nine to five."\n')
    agent = Agent(ScriptedModel(["from the model"]), "a", hooks=[f"answers:{file}"])

    assert run(agent, "What are your opening hours?").content == "From nine to five."
    assert run(agent, "hi").content == "from the model"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('[[replies]]\nsay = "x"\n', ConfigError, "when"),
        ('[[replies]]\nwhen = "("\n', UsageError, "pattern"),
        ('[[replies]]\nwhen = "x"\nsay = "{who}"\n', UsageError, "no group 'who'"),
        ('[[replies]]\nwhen = "x"\ncompute = "rain"\n', ConfigError, "compute"),
        ('[[examples]]\nwhen = ""\nturns = [["a"]]\n', UsageError, "question and its answer"),
        ("[[replies]\n", ConfigError, "TOML"),
        ("[[reply]]\n", ConfigError, "reply"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    """An error in a file names the fault and the file."""
    file = tmp_path / "wrong.toml"
    file.write_text(text)

    with pytest.raises(error, match=words) as caught:
        run(Agent(ScriptedModel([]), "a", hooks=[f"answers:{file}"]), "hi")
    assert "wrong.toml" in str(caught.value)


@pytest.mark.parametrize("spec", ["answers:nosuch.toml", "answers:basics:more"])
def test_a_spec_that_leads_nowhere(spec: str) -> None:
    """A missing file or a surplus word is an error with a hint for the spec."""
    with pytest.raises(UsageError) as caught:
        run(Agent(ScriptedModel([]), "a", hooks=[spec]), "hi")
    assert "answers:" in caught.value.hint
