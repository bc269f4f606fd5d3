"""The end of an answer that begins to repeat itself: `loops`, and loops of the default model."""

from __future__ import annotations

from typing import Any

import pytest
from agno_rt_llamacpp.client import LlamaModel
from agno_rt_llamacpp.loops import LoopCutter
from agno_rt_llamacpp.profile import SMOLLM2, Settings
from agno_rt_llamacpp.wire import Answer, Defaults, Question, question

from agno_rt import Message, ModelRequest, ModelSettings, tool
from agno_rt.events import TextDelta

DEFAULTS = Defaults(100, SMOLLM2.sampling)


def shown(text: str, piece: int = 3) -> tuple[str, bool]:
    """Return the shown text for a text in pieces of the length, and True if the text was cut."""
    cutter = LoopCutter()
    parts = [cutter.feed(text[at : at + piece]) for at in range(0, len(text), piece)]
    told = "".join(parts) + cutter.end()
    assert told == cutter.text
    return told, cutter.cut


@pytest.mark.parametrize("piece", [1, 3, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello! How can I help you today?",
        "1. Tea\n2. Coffee\n3. Milk\n4. Water",
        "The sun is warm. The sun is bright. The moon is cold, and the stars are far away.\n\n",
        "Dear Anna,\n\nThank you for your help.\n\nBest regards",
        "no no no",
        "  two  spaces\tand a tab \n",
        "\u4f60\u597d\uff0c\u6211\u662f\u4e00\u4e2a\u52a9\u624b\u3002",
    ],
)
def test_an_answer_without_a_loop_is_whole(text: str, piece: int) -> None:
    """An answer without a loop stays whole, in any pieces, even with some repeated words."""
    assert shown(text, piece) == (text, False)


@pytest.mark.parametrize(
    ("text", "begins", "most"),
    [
        ("France, " + "the grand phantom of France, " * 20, "France, the grand phantom", 12),
        ("ha " * 50, "ha", 3),
        ("I can help with that. " * 10, "I can help with that.", 5),
        ("".join(f"{at}. Whiskers\n" for at in range(1, 60)), "1. Whiskers", 5),
        ("La" * 400, "LaLa", 40),
    ],
)
def test_a_loop_is_cut_before_it_is_seen(text: str, begins: str, most: int) -> None:
    """A reader sees a repetition once, or a little more."""
    told, cut = shown(text)

    assert cut
    assert told.startswith(begins)
    assert len(told.split()) <= most


def chunk(text: str, **more: Any) -> dict[str, Any]:
    """Make a chunk in llama.cpp's format."""
    return {"id": "chatcmpl-X1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}


@pytest.mark.parametrize(
    ("again", "whole", "reason"),
    [
        (" Paris is a city.", "Paris is a city.", "stop"),
        (" round and round it goes", "round and round it goes", "length"),
    ],
)
def test_a_cut_answer_says_how_it_ended(again: str, whole: str, reason: str) -> None:
    """A cut answer is complete if it ends with a sentence, else cut off; its tokens are counted."""
    answer = Answer(Question({}, cut_loops=True))
    deltas = answer.feed(chunk("", prompt_progress={"total": 33, "processed": 33}))
    while not answer.cut:
        deltas += answer.feed(chunk(again))
    rest, response = answer.finish()

    told = "".join(delta.text for delta in deltas + rest if isinstance(delta, TextDelta))
    assert response.content == told
    assert told.strip() == whole
    assert response.finish_reason == reason
    assert response.usage.input_tokens == 33
    assert response.usage.output_tokens > 1


def asked(settings: ModelSettings = ModelSettings(), **more: Any) -> Question:  # noqa: B008 - it is frozen
    """Return the default model's request."""
    request = ModelRequest((Message("user", "x"),), settings=settings, **more)
    return question(request, DEFAULTS, lambda _: 'root ::= "{" "}"')


@tool
def find(query: str) -> str:
    """Find something."""
    return query


def test_the_defaults_of_the_default_model() -> None:
    """A fixed seed, a penalty for sequences in free text, and no loops."""
    plain = asked()

    assert plain.body["seed"] == 1
    assert plain.body["dry_multiplier"] == 0.8
    assert plain.body["temperature"] == 0.2
    assert plain.cut_loops
    for more in ({"tools": (find,)}, {"output": {"type": "object"}}):
        assert "dry_multiplier" not in asked(**more).body
    assert not asked(output={"type": "object"}).cut_loops


def test_what_a_user_gives_stands_above_the_defaults() -> None:
    """The request overrides the settings of the plugin, and both override the model's own."""
    given = ModelSettings(temperature=0.9, seed=7, extra={"dry_multiplier": 0, "repeat_penalty": 1.3})
    body = asked(given).body

    assert (body["temperature"], body["seed"], body["dry_multiplier"], body["repeat_penalty"]) == (0.9, 7, 0, 1.3)
    set_ = SMOLLM2.sampling.over(Settings(seed=5, repeat_penalty=1.1, dry_multiplier=0.0, cut_loops=False))
    assert (set_.seed, set_.repeat_penalty, set_.dry_multiplier, set_.cut_loops) == (5, 1.1, 0.0, False)
    assert set_.temperature == SMOLLM2.sampling.temperature


@pytest.mark.usefixtures("weights")
async def test_the_default_model_ends_where_it_repeats_itself() -> None:
    """A model kept from ending would repeat itself for ever; the streamed answer equals the returned answer."""
    model = LlamaModel("smollm2", Settings(parallel=1, context=2048, dry_multiplier=0.0))
    told: list[str] = []

    async def emit(delta: Any) -> None:
        told.append(delta.text)

    try:
        settings = ModelSettings(temperature=0.0, max_tokens=1500, extra={"ignore_eos": True})
        request = ModelRequest((Message("user", "What is the capital of France?"),), settings=settings)
        response = await model.respond(request, emit)
    finally:
        await model.aclose()

    assert response.usage.output_tokens < 1500
    assert response.usage.input_tokens > 10
    assert "".join(told) == response.content
