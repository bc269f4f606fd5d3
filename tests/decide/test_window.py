"""Windows of a history begin where a model can take up the thread, and keep calls with their results."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt._decide.history import MEDIA_TOKENS, Bounds, estimate_tokens, window
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Media, Message, ToolCall

counter = itertools.count()


def turn(calls: int) -> list[Message]:
    """Make an assistant's message with calls and their results, or a plain answer."""
    if calls == 0:
        return [Message("assistant", "answer")]
    made = tuple(ToolCall(f"c{next(counter)}", "t") for _ in range(calls))
    return [Message("assistant", "", made), *(Message("tool", "", (), call.id, "t") for call in made)]


def conversation(runs: Sequence[Sequence[int]]) -> list[Message]:
    """Make runs, each with a user's message and turns; the last turn is an answer."""
    return [
        message
        for turns in runs
        for part in ([Message("user", "question")], *map(turn, turns), turn(0))
        for message in part
    ]


def names(messages: Sequence[Message]) -> str:
    """Return the first letters of the roles; a capital A has calls."""
    return "".join("A" if message.tool_calls else message.role[0] for message in messages)


histories = st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=6).map(conversation)


@given(histories, st.none() | st.integers(0, 60))
def test_never_parts_a_call_from_its_results(history: list[Message], last: int | None) -> None:
    """The window is an end of the history within the limit, and every result has a call."""
    shown = list(window(history, last))

    assert shown == history[len(history) - len(shown) :]
    assert last is None or len(shown) <= last
    calls = {call.id for message in shown for call in message.tool_calls}
    assert {message.tool_call_id for message in shown if message.role == "tool"} == calls


@given(histories, st.none() | st.integers(0, 60), st.integers(0, 60))
def test_what_was_loaded_in_part_is_cut_the_same(history: list[Message], last: int | None, loaded: int) -> None:
    """Every result still has a call after a partial load by the backend."""
    shown = window(history[max(0, len(history) - loaded) :], last)

    calls = {call.id for message in shown for call in message.tool_calls}
    assert {message.tool_call_id for message in shown if message.role == "tool"} <= calls


@given(histories, st.integers(0, 60))
def test_shows_the_same_whether_or_not_the_backend_cut_first(history: list[Message], last: int) -> None:
    """The window is the same for a whole history and for its last messages."""
    assert list(window(history[max(0, len(history) - last) :], last)) == list(window(history, last))


@given(histories, st.integers(1, 60))
def test_begins_with_the_user_where_it_can(history: list[Message], last: int) -> None:
    """A window with a user's message begins with one, because some models insist."""
    within = history[max(0, len(history) - last) :]
    if any(message.role == "user" for message in within):
        assert window(history, last)[0].role == "user"


@pytest.mark.parametrize(
    ("runs", "last", "shown"),
    [
        ([[], []], None, "uaua"),
        ([[], []], 4, "uaua"),
        ([[], []], 3, "ua"),
        ([[], []], 2, "ua"),
        ([[], []], 1, "a"),
        ([[], []], 0, ""),
        ([[2, 1]], None, "uAttAta"),
        ([[2, 1]], 6, "AttAta"),
        ([[2, 1]], 5, "Ata"),
        ([[2, 1]], 2, "a"),
        ([], 5, ""),
    ],
)
def test_examples(runs: list[list[int]], last: int | None, shown: str) -> None:
    """Windows by example, as first letters of roles; a capital A has calls."""
    assert names(window(conversation(runs), last)) == shown


bounds = st.builds(
    Bounds,
    st.none() | st.integers(0, 60),
    st.none() | st.integers(0, 8),
    st.none() | st.integers(0, 60),
    st.just(lambda message: len(message.role)),
)


@given(histories, bounds)
def test_bounds_never_part_a_call_from_its_results(history: list[Message], bound: Bounds) -> None:
    """The bounds show an end of the history within each bound, and every result has a call."""
    shown = history[bound.beginning(history) :]

    calls = {call.id for message in shown for call in message.tool_calls}
    assert {message.tool_call_id for message in shown if message.role == "tool"} == calls
    assert bound.messages is None or len(shown) <= bound.messages
    assert bound.runs is None or sum(message.role == "user" for message in shown) <= bound.runs
    assert bound.tokens is None or sum(map(bound.count, shown)) <= bound.tokens


@given(histories, bounds)
def test_bounds_that_hold_cut_nothing(history: list[Message], bound: Bounds) -> None:
    """A history within the bounds is shown whole."""
    within = (
        (bound.messages is None or len(history) <= bound.messages)
        and (bound.runs is None or sum(message.role == "user" for message in history) <= bound.runs)
        and (bound.tokens is None or sum(map(bound.count, history)) <= bound.tokens)
    )
    assert (bound.beginning(history) == 0) >= within


@given(histories, bounds, st.integers(0, 60))
def test_bounds_find_the_same_place_in_the_end_of_a_history(history: list[Message], bound: Bounds, loaded: int) -> None:
    """A cut in a partly loaded history is the same as in the whole history."""
    end = history[max(0, len(history) - loaded) :]
    start = bound.beginning(end)
    if start:
        assert end[start:] == history[bound.beginning(history) :]


@pytest.mark.parametrize(
    ("runs", "bound", "shown"),
    [
        ([[], [2], []], Bounds(runs=2), "uAttaua"),
        ([[], [2], []], Bounds(runs=1), "ua"),
        ([[], [2], []], Bounds(runs=0), ""),
        ([[], [2], []], Bounds(runs=3), "uauAttaua"),
        ([[], [2], []], Bounds(messages=7, runs=3), "uAttaua"),
        ([[], [2], []], Bounds(messages=6, runs=3), "ua"),
        ([[], [2], []], Bounds(tokens=6, count=lambda message: 1), "ua"),
        ([[], [2], []], Bounds(tokens=7, count=lambda message: 1), "uAttaua"),
        ([[], [2], []], Bounds(tokens=0), ""),
        ([], Bounds(runs=1, tokens=1, messages=1), ""),
    ],
)
def test_bounds_by_example(runs: list[list[int]], bound: Bounds, shown: str) -> None:
    """The narrowest bound of runs, tokens and messages counts."""
    history = conversation(runs)

    assert names(history[bound.beginning(history) :]) == shown


def test_two_questions_in_a_row_are_one_run() -> None:
    """A run begins with a user's message after another role's."""
    history = [*conversation([[]]), Message("user", "one"), Message("user", "two"), Message("assistant", "both")]

    assert names(history[Bounds(runs=1).beginning(history) :]) == "uua"


def test_a_share_of_the_bounds() -> None:
    """Each bound shrinks, rounded down; an open bound stays open."""
    policy = MemoryPolicy(messages=None, runs=5, tokens=101)

    assert Bounds.of(policy).scaled(0.5) == Bounds(None, 2, 50)
    assert Bounds.of(policy).scaled(0) == Bounds(None, 0, 0)


def test_estimate_counts_what_a_message_carries() -> None:
    """Text, arguments of calls and media count as tokens; an empty message counts a few."""
    empty = estimate_tokens(Message("user", ""))
    picture = Media("image", "image/png", b"x")

    assert 0 < empty < 10
    assert estimate_tokens(Message("user", "x" * 400)) == empty + 100
    assert estimate_tokens(Message("assistant", "", (ToolCall("c", "find", "x" * 396),))) == empty + 100
    assert estimate_tokens(Message("user", ("x" * 400, picture, picture))) == empty + 100 + 2 * MEDIA_TOKENS


def test_results_alone_are_nothing() -> None:
    """Results without calls are not shown."""
    results = [Message("tool", "x", (), "c1", "t")] * 2

    assert list(window(results, None)) == list(window(results, 5)) == []


def test_a_whole_history_is_not_copied() -> None:
    """A history shorter than the window is returned without a copy."""
    history = conversation([[1]])

    assert window(history, 100) is history
