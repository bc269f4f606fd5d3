"""Limits are checked when made, and each error names the limit."""

from __future__ import annotations

from typing import Any

import pytest

from agno_rt.errors import UsageError
from agno_rt.limits import Limits


def test_the_defaults_are_generous_and_without_deadline() -> None:
    """Every count has a generous default; timeouts default to `None`."""
    limits = Limits()

    assert (limits.runs, limits.queue, limits.model_calls, limits.tools, limits.turns) == (1_000, 10_000, 1_000, 8, 16)
    assert (limits.run_timeout, limits.model_timeout, limits.tool_timeout) == (None, None, None)


def test_the_smallest_values() -> None:
    """Counts of 1, a queue of 0 and fractions of a second are valid."""
    Limits(runs=1, queue=0, model_calls=1, tools=1, turns=1, run_timeout=0.001, model_timeout=1, tool_timeout=1e9)


@pytest.mark.parametrize("name", ["runs", "model_calls", "depth", "threads", "abandoned_threads", "tools", "turns"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "8", True, None])
def test_counts_out_of_range(name: str, value: Any) -> None:
    """A count is a whole number of at least 1."""
    with pytest.raises(UsageError, match=f"limit {name} is ") as caught:
        Limits(**{name: value})

    assert "at least 1" in caught.value.hint


def test_takeovers_without_a_bound() -> None:
    """A run may be taken over five times, or as often as somebody says, or without an end, but not less than once."""
    assert Limits().takeovers == 5
    assert Limits(takeovers=None).takeovers is None
    with pytest.raises(UsageError, match="limit takeovers is 0"):
        Limits(takeovers=0)


def test_a_negative_queue() -> None:
    """The queue may be empty, but not less."""
    with pytest.raises(UsageError, match="limit queue is -1"):
        Limits(queue=-1)


@pytest.mark.parametrize("name", ["run_timeout", "model_timeout", "tool_timeout"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), "5", True])
def test_timeouts_out_of_range(name: str, value: Any) -> None:
    """A timeout is a number of seconds above 0."""
    with pytest.raises(UsageError, match=f"limit {name} is ") as caught:
        Limits(**{name: value})

    assert "seconds above 0" in caught.value.hint
