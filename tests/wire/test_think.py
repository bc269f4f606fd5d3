"""Reasoning in think tags: split off at the start of a text, and left alone elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agno_rt.events import ReasoningDelta, TextDelta
from agno_rt.wire.chat_completions import StreamedResponse, ThinkTags, response


def split_text(pieces: Iterable[str], tags: ThinkTags = "start") -> tuple[str, str]:
    """Return the reasoning and the answer of a streamed text."""
    stream = StreamedResponse(tags)
    deltas = [delta for piece in pieces for delta in stream.feed({"choices": [{"delta": {"content": piece}}]})]
    deltas += stream.end()
    reasoning = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    whole = stream.response()
    assert (whole.reasoning, whole.content) == (reasoning, text), "what was streamed is what is answered"
    return reasoning, text


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>why</think>so", "why", "so"),
        ("\n <think>\nwhy \n not\n</think>\n\nso\n", "why \n not", "so\n"),
        ("<think></think>so", "", "so"),
        ("<think>\n\n</think>\n\nso", "", "so"),
        ("<think>why", "why", ""),
        ("<think>why </thin", "why </thin", ""),
        ("<think>a </thin b</think>c", "a </thin b", "c"),
        ("<think>a<think>b</think>c</think>d", "a<think>b", "c</think>d"),
        ("<think>a</think><think>b</think>c", "a", "<think>b</think>c"),
        ("The tag is <think>x</think>.", "", "The tag is <think>x</think>."),
        ("`<think>` opens it", "", "`<think>` opens it"),
        ("<thinking>x</thinking>", "", "<thinking>x</thinking>"),
        ("<thi", "", "<thi"),
        ("  \n", "", "  \n"),
        ("  so", "", "  so"),
        ("</think>so", "", "</think>so"),
        ("", "", ""),
    ],
)
def test_only_a_tag_at_the_start_is_one(text: str, reasoning: str, answer: str) -> None:
    """The first `<think>` tag at the start encloses the reasoning; tags elsewhere belong to the answer."""
    assert split_text([text]) == (reasoning, answer)
    assert split_text(text) == (reasoning, answer)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("why</think>so", "why", "so"),
        ("\nwhy\n</think>\n\nso", "why", "so"),
        ("<think>why</think>so", "why", "so"),
        ("why", "why", ""),
        ("<thi", "<thi", ""),
        (" <th</think>so", "<th", "so"),
        ("  ", "", ""),
    ],
)
def test_a_tag_that_the_prompt_opened(text: str, reasoning: str, answer: str) -> None:
    """With a tag opened by the chat template, the text begins inside the reasoning."""
    assert split_text([text], "opened") == (reasoning, answer)
    assert split_text(text, "opened") == (reasoning, answer)


def test_off_leaves_everything() -> None:
    """With splitting off, the tags belong to the answer."""
    assert split_text(["<think>why</think>", "so"], "off") == ("", "<think>why</think>so")


PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think", ">", " ", "\n", "so", "é", "<thi", "nk>"]), max_size=10
)


@given(PIECES, st.data(), st.sampled_from(["off", "start", "opened"]))
@example(["<think>", " ", "</think>", " "], None, "start")
def test_any_cut_gives_the_same(words: list[str], data: st.DataObject | None, tags: ThinkTags) -> None:
    """Any cut of the text, even in a tag, gives the same split as one piece."""
    text = "".join(words)
    cuts = [] if data is None else sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]

    whole = response({"choices": [{"message": {"content": text}}]}, tags)
    assert split_text(pieces, tags) == split_text(text, tags) == (whole.reasoning, whole.content)


@given(PIECES)
def test_nothing_but_tags_and_space_is_lost(words: list[str]) -> None:
    """The output is the input without one pair of tags and the surrounding white space."""
    text = "".join(words)
    reasoning, answer = split_text([text])

    if reasoning or not text.lstrip().startswith("<think>"):
        assert "".join((reasoning + answer).split()) in (
            "".join(text.replace("<think>", "", 1).replace("</think>", "", 1).split()),
            "".join(text.replace("<think>", "", 1).split()),
            "".join(text.split()),
        )


def test_a_server_that_tells_them_apart_itself() -> None:
    """After reasoning in a field of its own, a tag in the answer is text."""
    stream = StreamedResponse("start")
    deltas = [
        *stream.feed({"choices": [{"delta": {"reasoning_content": "why"}}]}),
        *stream.feed({"choices": [{"delta": {"content": "<think>so</think>"}}]}),
    ]

    assert deltas == [ReasoningDelta("why"), TextDelta("<think>so</think>")]
    body = {"choices": [{"message": {"reasoning": "why", "content": "<think>so</think>"}}]}
    assert response(body, "start").content == "<think>so</think>"


def test_long_white_space_costs_its_length() -> None:
    """White space in very many pieces is kept, in linear time."""
    assert split_text(itertools.chain([" "] * 20_000, ["so"])) == ("", " " * 20_000 + "so")
    reasoning, answer = split_text(itertools.chain(["<think>a"], [" "] * 20_000, ["b</think>so"]))
    assert (len(reasoning), answer) == (20_002, "so")
