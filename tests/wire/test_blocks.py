"""The parts that formats with blocks share: paragraphs, reasons for the end, blocks to send back, counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agno_rt.wire.blocks import Paragraphs, check_text, encode_blocks, read_count, settle_reason

REASONS: Any = {"end": ("stop", False), "word": ("stop", True), "cut": ("length", False), "call": ("tool_calls", False)}


def test_blocks_are_paragraphs() -> None:
    """A block after another begins a paragraph; white space alone does not, and the first block has nothing before."""
    said = Paragraphs()
    said.begin()
    assert not said
    shown = [said.add("One"), said.add(" two.")]
    said.begin()
    shown += [said.add(" "), said.add("Three.")]
    assert shown == ["One", " two.", " ", "\n\nThree."]
    assert said.text == "".join(shown)
    assert said


def test_half_a_character_is_replaced() -> None:
    """No encoder accepts half a surrogate pair."""
    said = Paragraphs()
    assert said.add("\ud83d") == "\ufffd"
    assert said.text == "\ufffd"


@pytest.mark.parametrize(
    ("word", "has_calls", "settled"),
    [
        ("end", False, ("stop", "")),
        ("end", True, ("tool_calls", "")),
        ("word", False, ("stop", "word")),
        ("cut", True, ("length", "")),
        ("call", True, ("tool_calls", "")),
        ("call", False, ("stop", "call")),
        ("new", False, ("stop", "new")),
        ("new", True, ("tool_calls", "new")),
    ],
)
def test_the_reason_fits_the_calls(word: str, has_calls: bool, settled: tuple[str, str]) -> None:
    """An answer with calls ends with calls, one without never does; unknown words are kept."""
    assert settle_reason(word, REASONS, has_calls=has_calls) == settled


def test_blocks_that_could_not_be_read_again_are_not_sent_back() -> None:
    """Arguments that are not JSON, and half a character, would make every later request invalid."""
    assert bytes(encode_blocks([{"input": msgspec.Raw(b'{"a":1}')}]) or b"") == b'[{"input":{"a":1}}]'
    assert encode_blocks([{"input": msgspec.Raw(b'{"a":')}]) is None
    assert encode_blocks([{"text": "\ud83d"}]) is None


@pytest.mark.parametrize(("value", "count"), [(3, 3), (3.0, 3), (-1, 0), (None, 0), ("3", 0), (2.0**60, 0)])
def test_counts(value: Any, count: int) -> None:
    """An unreadable count is 0, and no error."""
    assert read_count(value) == count


def test_a_text_is_a_text() -> None:
    """Another value is a fault of the stream."""
    assert check_text("a") == "a"
    with pytest.raises(ValueError, match="a text is int"):
        check_text(1)
