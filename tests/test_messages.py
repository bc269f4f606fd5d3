"""Messages, tool calls and usages are plain slotted values."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agno_rt.errors import UsageError
from agno_rt.messages import Media, Message, ToolCall, Usage

counts = st.integers(min_value=0, max_value=10**9)
usages = st.builds(Usage, counts, counts, counts, counts, counts)


@given(usages, usages, usages)
def test_usages_add_up(a: Usage, b: Usage, c: Usage) -> None:
    """Adding usages adds the counts, in any order."""
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert (a + b).total_tokens == a.total_tokens + b.total_tokens
    assert a + Usage() == a


def test_defaults() -> None:
    """A message needs only a role; a call needs only an id and a name."""
    assert Message("user") == Message("user", "", (), None, None)
    assert ToolCall("1", "t").arguments == "{}"
    assert Usage().total_tokens == 0


@pytest.mark.parametrize("arguments", [{}, {"a": 1, "b": ["é", None]}, {"nested": {"a": 1.5}}])
def test_arguments_of_a_call_may_be_a_dict(arguments: dict[str, object]) -> None:
    """Arguments given as a dict are encoded as JSON text, like a model's arguments."""
    call = ToolCall("1", "t", arguments)

    assert msgspec.json.decode(call.arguments) == arguments
    assert call == ToolCall("1", "t", call.arguments)


@pytest.mark.parametrize("arguments", [None, 3, b"{}", ["a"], {"a": object()}, {"a": float("nan")}, {1j: 2}])
def test_other_arguments_of_a_call_are_refused(arguments: object) -> None:
    """Arguments other than text or JSON values are refused when the call is made, not when the tool runs."""
    with pytest.raises(UsageError, match="arguments of a tool call"):
        ToolCall("1", "t", arguments)  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize("value", [Message("user"), ToolCall("1", "t"), Usage(), Media("image", "image/png")])
def test_values_are_slotted(value: object) -> None:
    """Values accept no new attributes."""
    assert not hasattr(value, "__dict__")
    with pytest.raises(AttributeError):
        value.colour = "blue"  # type: ignore[attr-defined]  # the point of the test


def test_usages_count_reasoning_and_cost() -> None:
    """Reasoning tokens, cached tokens and cost add up too; the total counts input and output only."""
    total = Usage(10, 5, 3, 8, 0.25) + Usage(1, 1, 1, 1, 0.5)

    assert total == Usage(11, 6, 4, 9, 0.75)
    assert total.total_tokens == 17


def test_text_and_media_of_a_message() -> None:
    """The text of a content in parts joins the texts by line breaks; the media are listed apart."""
    image = Media("image", "image/png", b"x")
    message = Message("user", ("What", image, "is this?"))

    assert (message.text, message.media) == ("What\nis this?", (image,))
    assert (Message("user", "hi").text, Message("user", "hi").media) == ("hi", ())
    assert (Message("user", (image,)).text, Message("user", ()).media) == ("", ())


def test_bytes_are_not_shown() -> None:
    """A repr shows the size of media, not the bytes."""
    assert repr(Media("image", "image/png", b"secret", name="a.png")) == (
        "Media(kind='image', media_type='image/png', data=<6 bytes>, url=None, name='a.png')"
    )
    assert "data=None" in repr(Media("image", "image/png", url="https://x"))


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
media = st.builds(
    Media,
    st.sampled_from(["image", "audio", "video", "file"]),
    st.sampled_from(["image/png", "a/b"]),
    st.none() | st.binary(max_size=50),
    st.none() | words,
    st.none() | words,
)
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    words | st.lists(words | media, max_size=3).map(tuple),
    st.lists(st.builds(ToolCall, st.text("ab"), st.text("ab"), st.text("{}")), max_size=2).map(tuple),
    st.none() | st.text("ab"),
    st.none() | st.text("ab"),
    words,
)


@given(messages)
@example(Message("user", ()))
@example(Message("user", ("", Media("image", "image/png", bytes(range(256))))))
def test_a_message_survives_json(message: Message) -> None:
    """A message written as JSON is read back equal, with parts and bytes: backends may store JSON."""
    again = msgspec.json.decode(msgspec.json.encode(message), type=Message)

    assert again == message
    assert type(again.content) is type(message.content)
    assert all(part.data is None or type(part.data) is bytes for part in again.media)


@given(messages)
def test_a_message_survives_message_pack(message: Message) -> None:
    """A message written as MessagePack is read back equal, and bytes stay bytes."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Message) == message


def test_messages_of_the_first_version_are_read() -> None:
    """Messages stored before parts and reasoning existed are still read."""
    stored = b'{"role":"assistant","content":"hi","tool_calls":[],"tool_call_id":null,"name":null}'

    assert msgspec.json.decode(stored, type=Message) == Message("assistant", "hi")
