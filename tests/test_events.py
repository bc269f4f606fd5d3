"""Events are small values with a name on the wire."""

from __future__ import annotations

import gc
from typing import get_args

import msgspec
import pytest

from agno_rt import events
from agno_rt.events import (
    ApprovalAsked,
    ApprovalReviewed,
    CacheMissed,
    ContextCompacted,
    Delta,
    Emitted,
    Event,
    GuardTripped,
    MessageReceived,
    ModelEnded,
    ModelStarted,
    ReasoningDelta,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    TextDelta,
    ToolCallDelta,
    ToolEnded,
    ToolkitChanged,
    ToolProgress,
    ToolStarted,
    TurnRestarted,
    event_type,
    stamped,
)
from agno_rt.messages import ToolCall, Usage

CALL = ToolCall("c1", "clock")
EXAMPLES: list[Event] = [
    TextDelta("hi"),
    ReasoningDelta("hm"),
    ToolCallDelta(0, "c1", "clock", "{}"),
    TurnRestarted("the connection broke"),
    RunStarted("r", "assistant", "hello", "s", "ann"),
    ModelStarted("r", "m", 1),
    ModelEnded("r", "m", 1, "completed", Usage(1, 2)),
    CacheMissed("r", "m", 2, 9_000, 0),
    ContextCompacted("r", 2, 9_000, 4_000, 12),
    ToolStarted("r", CALL),
    ToolProgress("r", CALL, {"done": 0.5}),
    ToolEnded("r", CALL, "failed", "no"),
    StepStarted("r", "parts#1/0/work#1"),
    StepEnded("r", "parts#1/0/work#1", "failed", "no"),
    GuardTripped("r", "pii", "input", "changed", "1 email"),
    ApprovalAsked("r", "r.1", CALL, "approval", "it costs money"),
    ApprovalReviewed("r", CALL, True, "grant", "it is small", "g1"),
    Emitted("r", "group#1/0", "progress", {"done": 3}),
    MessageReceived("r", "and hurry", 2),
    ToolkitChanged("mcp:notes", "lost", error="it ended", retry_in=0.5),
    RunEnded("r", "limited", "", Usage(), "too many", "limit"),
]


def test_the_examples_are_all_events() -> None:
    """The examples contain one event of each kind."""
    assert {type(event) for event in EXAMPLES} == set(get_args(Event))


@pytest.mark.parametrize("event", EXAMPLES, ids=event_type)
def test_events_survive_the_wire(event: Event) -> None:
    """An encoded event has the snake-case name as `type`, and decodes to an equal event."""
    text = msgspec.json.encode(event)

    assert msgspec.json.decode(text)["type"] == event_type(event)
    assert msgspec.json.decode(text, type=Event) == event


def test_names_on_the_wire_are_stable() -> None:
    """Names on the wire stay the same, because clients switch on them."""
    assert [event_type(event) for event in EXAMPLES] == [
        "text_delta",
        "reasoning_delta",
        "tool_call_delta",
        "turn_restarted",
        "run_started",
        "model_started",
        "model_ended",
        "cache_missed",
        "context_compacted",
        "tool_started",
        "tool_progress",
        "tool_ended",
        "step_started",
        "step_ended",
        "guard_tripped",
        "approval_asked",
        "approval_reviewed",
        "emitted",
        "message_received",
        "toolkit_changed",
        "run_ended",
    ]


def test_every_event_class_is_in_the_union() -> None:
    """Every exported event class belongs to `Event`."""
    classes = {
        value
        for name in events.__all__
        if isinstance(value := getattr(events, name), type) and issubclass(value, msgspec.Struct)
    }

    assert classes == set(get_args(Event))


def test_the_collector_never_sees_deltas() -> None:
    """A stream of tokens gives the garbage collector nothing to do."""
    assert not gc.is_tracked(TextDelta("x"))


class TestStamped:
    """A model's delta becomes an event of a run."""

    @pytest.mark.parametrize("delta", [TextDelta("x"), ReasoningDelta("x"), ToolCallDelta(0)])
    def test_a_fresh_delta_is_stamped_in_place(self, delta: Delta) -> None:
        """A fresh delta is stamped without a copy."""
        assert stamped(delta, "r1") is delta
        assert delta.run_id == "r1"

    def test_a_shared_delta_is_copied(self) -> None:
        """A delta of one run is copied for another run, and the first stays unchanged."""
        first = stamped(TextDelta("x"), "r1")
        second = stamped(first, "r2")

        assert (first.run_id, second.run_id) == ("r1", "r2")
