"""The binary stream of events beside botocore's reader, in any pieces, and with any damage.

Reference: the specification "Amazon Event Stream" of Smithy.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import botocore.eventstream
import pytest
from agno_rt_bedrock.event_stream import MOST_BYTES, MessageParser, StreamValues
from hypothesis import given
from hypothesis import strategies as st

from agno_rt.errors import ModelError
from agno_rt.wire.refusals import Peer
from tests.servers.converse import encode_message, event, exception

NAMES = st.text("abcdefgh:-ä", min_size=1, max_size=12)
MESSAGES = st.lists(
    st.builds(encode_message, st.dictionaries(NAMES, st.text(max_size=20), max_size=4), st.binary(max_size=80)),
    min_size=1,
    max_size=5,
)
PEER = Peer(name="bedrock:m", provider="bedrock", model="m", url="http://127.0.0.1", secrets=("secret-0123456789",))


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Return the data in pieces."""
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


class TestMessages:
    """Messages."""

    @given(messages=MESSAGES, places=st.lists(st.integers(0, 10_000), max_size=6))
    def test_reads_as_botocore(self, messages: list[bytes], places: list[int]) -> None:
        """Headers and payloads are the same as botocore reads, for each way to cut the stream."""
        data = b"".join(messages)
        theirs = botocore.eventstream.EventStreamBuffer()
        theirs.add_data(data)
        expected = [(message.headers, message.payload) for message in theirs]
        ours = MessageParser()
        assert [message for piece in cut(data, places) for message in ours.feed(piece)] == expected

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 12, 13])
    def test_reads_crumbs(self, size: int) -> None:
        """A stream in pieces of a few bytes has the same messages."""
        data = event("a", {"x": "ä"}) + event("b", {"y": 1})
        parser = MessageParser()
        crumbs = (data[at : at + size] for at in range(0, len(data), size))
        found = [headers[":event-type"] for crumb in crumbs for headers, _ in parser.feed(crumb)]
        assert found == ["a", "b"]

    def test_every_type_of_header(self) -> None:
        """Headers of other types than texts are passed over, as long as botocore reads them, too."""
        kinds = [b"\0", b"\1", b"\2\x05", b"\3\0\1", b"\4\0\0\0\1", b"\5" + bytes(8), b"\6\0\2hi", b"\x08" + bytes(8)]
        kinds += [b"\x09" + bytes(16), b"\7\0\2ok"]
        block = b"".join(b"\x01" + bytes([97 + at]) + kind for at, kind in enumerate(kinds))
        message = frame(block, b"{}")
        theirs = botocore.eventstream.EventStreamBuffer()
        theirs.add_data(message)
        assert len(next(theirs).headers) == len(kinds)
        assert list(MessageParser().feed(message)) == [({"j": "ok"}, b"{}")]

    @given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
    def test_every_damaged_bit_is_noticed(self, at: int, bit: int) -> None:
        """A flipped bit anywhere is an error, never another message."""
        data = bytearray(event("contentBlockDelta", {"delta": {"text": "Hello"}, "contentBlockIndex": 0}))
        data[at % len(data)] ^= 1 << bit
        with pytest.raises(ValueError, match="checksum"):
            list(MessageParser().feed(bytes(data)))

    @pytest.mark.parametrize(
        ("total", "head", "match"),
        [(8, 0, "8 bytes"), (20, 8, "20 bytes"), (MOST_BYTES + 1, 0, "bytes of headers"), (2**32 - 1, 0, "bytes")],
    )
    def test_impossible_lengths(self, total: int, head: int, match: str) -> None:
        """Lengths that no message can have are an error before any byte is awaited."""
        prelude = struct.pack(">II", total, head)
        with pytest.raises(ValueError, match=match):
            list(MessageParser().feed(prelude + struct.pack(">I", zlib.crc32(prelude))))

    @pytest.mark.parametrize("block", [b"\x05ab", b"\x01a\x07\0\x09x", b"\x01a", b"\x01a\x07\0", b"\x01a\x05\0"])
    def test_headers_cut_off(self, block: bytes) -> None:
        """Headers that do not fill their block are an error."""
        with pytest.raises(ValueError, match="cut off"):
            list(MessageParser().feed(frame(block, b"")))

    def test_unknown_header_type(self) -> None:
        """A header of an unknown type has an unknown length, so that the message cannot be read."""
        with pytest.raises(ValueError, match="unknown type 10"):
            list(MessageParser().feed(frame(b"\x01a\x0a", b"")))


def frame(block: bytes, payload: bytes) -> bytes:
    """Return a message with a block of headers as given."""
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return body + struct.pack(">I", zlib.crc32(body))


class TestValues:
    """The values of events, and the exceptions among them."""

    def test_values_come_before_an_exception(self) -> None:
        """Values before an exception are yielded first."""
        values = StreamValues(PEER)
        found: list[Any] = list(values.feed(event("a", {}) + event("b", {})))
        rest = values.feed(event("c", {}) + exception("throttlingException", "slow down"))
        found.append(next(rest))
        with pytest.raises(ModelError) as caught:
            next(rest)
        assert [list(value) for value in found] == [["a"], ["b"], ["c"]]
        assert (caught.value.status, caught.value.retryable) == (429, True)
        assert "throttlingException: slow down" in caught.value.message

    @pytest.mark.parametrize(
        ("name", "status", "retryable"),
        [
            ("internalServerException", 500, True),
            ("modelStreamErrorException", 424, True),
            ("validationException", 400, False),
            ("throttlingException", 429, True),
            ("serviceUnavailableException", 503, True),
            ("somethingNewException", None, True),
        ],
    )
    def test_exceptions(self, name: str, status: int | None, retryable: bool) -> None:
        """Each exception of the reference has its status, and says whether to try again."""
        with pytest.raises(ModelError) as caught:
            list(StreamValues(PEER).feed(exception(name, "no, secret-0123456789")))
        assert (caught.value.status, caught.value.retryable) == (status, retryable)
        assert "secret-0123456789" not in str(caught.value)
        assert name in caught.value.message

    def test_an_error_without_a_payload(self) -> None:
        """Unmodelled errors have their code and their words in the headers."""
        message = encode_message({":message-type": "error", ":error-code": "500", ":error-message": "oh"}, b"")
        with pytest.raises(ModelError, match="500: oh"):
            list(StreamValues(PEER).feed(message))

    def test_broken_json(self) -> None:
        """An event without JSON is an error with the payload."""
        with pytest.raises(ModelError, match="broken JSON"):
            list(StreamValues(PEER).feed(encode_message({":event-type": "a"}, b"{half")))

    def test_a_damaged_stream_may_be_tried_again(self) -> None:
        """Damage after the first event may be a fault of the line; a body of another kind stays what it is."""
        values = StreamValues(PEER)
        list(values.feed(event("a", {})))
        with pytest.raises(ModelError, match="cannot be read") as caught:
            list(values.feed(b"damaged bytes"))
        assert caught.value.retryable
        with pytest.raises(ModelError, match="cannot be read") as caught:
            list(StreamValues(PEER).feed(b"<html>not a stream</html>"))
        assert not caught.value.retryable
