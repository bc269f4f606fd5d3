"""Held-out questions for the embedded model: others than the tuned ones, of the same kinds in the same shares."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.embedded import QUESTIONS, Question
from benchmarks.held_out import HELD_OUT


def count_kinds(questions: Sequence[Question]) -> tuple[float, float, float]:
    """Return the shares of questions for a tool, for words with tools offered, and without tools."""
    tool = sum(bool(each.call) for each in questions)
    bare = sum(not each.offered for each in questions)
    whole = len(questions)
    return tool / whole, (whole - tool - bare) / whole, bare / whole


def test_held_out_questions_are_balanced_like_the_tuned_ones() -> None:
    """Otherwise the two figures could not be compared."""
    assert len(HELD_OUT) == 48
    assert count_kinds(HELD_OUT) == count_kinds(QUESTIONS) == (0.5, 0.25, 0.25)


def test_no_held_out_question_is_a_tuned_one() -> None:
    """A question in both sets would measure the tuning."""
    asked = [each.asked.lower() for each in HELD_OUT]
    assert len(set(asked)) == len(asked)
    assert not {each.asked.lower() for each in QUESTIONS} & set(asked)
