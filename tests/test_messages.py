"""Messages, tool calls and usages are plain slotted values."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt.messages import Message, ToolCall, Usage

counts = st.integers(min_value=0, max_value=10**9)
usages = st.builds(Usage, counts, counts)


@given(usages, usages, usages)
def test_usages_add_up(a: Usage, b: Usage, c: Usage) -> None:
    """Adding usages is adding their counts, in any order."""
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert (a + b).total_tokens == a.total_tokens + b.total_tokens
    assert a + Usage() == a


def test_defaults() -> None:
    """A message needs its role alone, a call its id and name."""
    assert Message("user") == Message("user", "", (), None, None)
    assert ToolCall("1", "t").arguments == "{}"
    assert Usage().total_tokens == 0


@pytest.mark.parametrize("value", [Message("user"), ToolCall("1", "t"), Usage()])
def test_values_are_slotted(value: object) -> None:
    """Nothing can be stuck onto a value by accident."""
    assert not hasattr(value, "__dict__")
    with pytest.raises(AttributeError):
        value.colour = "blue"  # type: ignore[attr-defined]  # the point of the test


messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.builds(ToolCall, st.text("ab"), st.text("ab"), st.text("{}")), max_size=2).map(tuple),
    st.none() | st.text("ab"),
    st.none() | st.text("ab"),
)


@given(messages)
def test_a_message_survives_json(message: Message) -> None:
    """What is written as JSON is read back equal: backends may store messages so."""
    assert msgspec.json.decode(msgspec.json.encode(message), type=Message) == message
