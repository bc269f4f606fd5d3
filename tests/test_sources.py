"""The hooks `files:sources` and `files:sources:strict`: answers name a file, or say that nothing was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agno_rt import Agent, ModelSettings, Runtime, ToolCall, run
from agno_rt.errors import UsageError
from agno_rt.testing import ScriptedModel

DOCUMENTS = {
    "canteen.md": "# Canteen\n\nThe canteen opens at noon and closes at two. On Fridays there is fish.\n",
    "garden.md": "# Garden\n\nTomatoes are watered every morning. The roses need water twice a week.\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two documents."""
    for name, text in DOCUMENTS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def search(query: str) -> ToolCall:
    """Make the model's call of the search tool."""
    return ToolCall("c1", "search", f'{{"query": "{query}"}}')


def ask(folder: Path, question: str, *steps: Any, hook: str = "files:sources:strict") -> str:
    """Return the answer of a librarian. The model first searches for the question, then takes the steps."""
    agent = Agent(ScriptedModel([search(question), *steps]), "a", tools=[f"files:search:{folder}"], hooks=[hook])
    return run(agent, question).content


@pytest.mark.parametrize("hook", ["files:sources", "files:sources:strict"])
def test_nothing_found_is_said_without_the_model(folder: Path, hook: str) -> None:
    """The model is not asked for an answer without a matching document."""
    told = ask(folder, "Who won the world cup?", hook=hook)

    assert told == "I found nothing about that in the documents."


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    """Nothing is found in an empty folder."""
    assert ask(tmp_path, "When does the canteen open?").startswith("I found nothing")


def test_what_is_not_about_the_question_is_nothing(folder: Path) -> None:
    """A passage with one of three words of the question is not an answer for the strict hook."""
    assert ask(folder, "Which politician visited the canteen?").startswith("I found nothing")


def test_the_sentence_can_be_chosen(folder: Path) -> None:
    """The setting `nothing` in [plugins.files] replaces the sentence for an empty search."""
    agent = Agent(ScriptedModel([search("x")]), "a", tools=[f"files:search:{folder}"], hooks=["files:sources"])

    assert run(agent, "x?", settings={"files": {"nothing": "Ask the desk."}}).content == "Ask the desk."


@pytest.mark.parametrize("hook", ["files:sources", "files:sources:strict"])
def test_the_file_is_named(folder: Path, hook: str) -> None:
    """The source is added to an answer without a source, and an answer with a source is left alone."""
    question = "When does the canteen open?"

    assert ask(folder, question, "The canteen opens at noon.", hook=hook) == "The canteen opens at noon (canteen.md)."
    named = "According to canteen.md, the canteen opens at noon."
    assert ask(folder, question, named, hook=hook) == named


def test_a_file_that_there_is_not_is_not_named(folder: Path) -> None:
    """A made-up file name becomes the name of the passage's file."""
    told = ask(folder, "When does the canteen open?", "According to animals.md, the canteen opens at noon.")

    assert told == "According to canteen.md, the canteen opens at noon."


@pytest.mark.parametrize(
    "answer",
    [
        "The roses need water every morning.",
        "Roses are red flowers that people love.",
        "The roses need water 7 times a week.",
        "The roses need water twice, water twice a week.",
        "I am a person who has no face.",
        "",
    ],
)
def test_what_does_not_stand_there_is_replaced(folder: Path, answer: str) -> None:
    """The strict hook replaces an unfounded answer by a sentence of the documents."""
    assert ask(folder, "How often do the roses need water?", answer) == (
        "garden.md says: The roses need water twice a week."
    )


def test_sentences_that_ramble_are_dropped(folder: Path) -> None:
    """Sentences from the documents stay; additions of the model are dropped, even a sentence cut off."""
    told = ask(folder, "When does the canteen open?", "The canteen opens at noon. It is a lovely place with a vie")

    assert told == "The canteen opens at noon (canteen.md)."


def test_a_larger_model_may_say_it_in_its_own_words(folder: Path) -> None:
    """The plain hook leaves the answer alone and only adds the file."""
    told = ask(folder, "When does the canteen open?", "From midday on.", hook="files:sources")

    assert told == "From midday on (canteen.md)."


async def test_a_turn_without_a_search_is_left_alone(folder: Path) -> None:
    """An answer without a search is left alone."""
    agent = Agent(
        ScriptedModel(["Hello!"]),
        "a",
        tools=[f"files:search:{folder}"],
        hooks=["files:sources:strict"],
        settings=ModelSettings(),
    )
    async with Runtime() as runtime:
        assert (await runtime.run(agent, "hi")).content == "Hello!"


def test_a_word_too_much_is_told() -> None:
    """An option other than `strict` is refused."""
    with pytest.raises(UsageError, match="sources:lax"):
        run(Agent(ScriptedModel([]), "a", hooks=["files:sources:lax"]), "hi")
