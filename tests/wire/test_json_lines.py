"""JSON values from lines of bytes in any pieces, and answers read from them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt.errors import ModelError
from agno_rt.wire.json_lines import JsonLines
from agno_rt.wire.refusals import Peer
from agno_rt.wire.sse import MAX_EVENT_BYTES

PEER = Peer(name="p:m", provider="p", model="m", url="http://host/")


def read(*pieces: bytes) -> tuple[list[Any], bytes]:
    """Return the values in the pieces, and the body if it is not a stream of lines."""
    lines = JsonLines(PEER)
    values = [value for piece in pieces for value in lines.feed(piece)]
    values += lines.end()
    assert lines.count == len(values)
    return values, lines.whole


VALUES = st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.integers() | st.none(), max_size=3))


@given(values=VALUES, cuts=st.lists(st.integers(0, 200), max_size=6), end=st.sampled_from([b"\n", b"\r\n"]))
def test_reads_lines_cut_anywhere(values: list[dict[str, Any]], cuts: list[int], end: bytes) -> None:
    """The values do not depend on the pieces, nor on the kind of line end."""
    body = b"".join(json.dumps(value, ensure_ascii=False).encode() + end for value in values)
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    assert read(*(body[a:b] for a, b in itertools.pairwise(places))) == (values, b"")


def test_reads_a_last_line_without_an_end() -> None:
    """The last line needs no line feed; blank lines do not count."""
    assert read(b'{"a": 1}\n\n \n{"a"', b": 2}") == ([{"a": 1}, {"a": 2}], b"")


def test_leaves_out_half_a_value() -> None:
    """A stream that breaks off within a line has the values before, and is not another kind of body."""
    assert read(b'{"a": 1}\n{"a": ') == ([{"a": 1}], b"")
    assert read(b'{"a": ') == ([], b"")


@pytest.mark.parametrize("body", [b"<html>\n<p>busy</p>\n</html>", b'{\n  "a": 1\n}', b"busy", b"null\n{}\n"])
def test_keeps_another_body_whole(body: bytes) -> None:
    """A body that does not begin with a line of JSON is kept for the caller, byte for byte."""
    values, whole = read(*(body[at : at + 2] for at in range(0, len(body), 2)))
    assert (values, whole.rstrip(b"\n")) == ([], body.rstrip(b"\n"))


def test_refuses_a_broken_line_within_a_stream() -> None:
    """The error quotes the line; values before the line arrive first."""
    lines = JsonLines(PEER)
    found: list[Any] = []
    with pytest.raises(ModelError, match="broken JSON in its stream: 'oops'"):
        found.extend(lines.feed(b'{"a": 1}\noops\n{"a": 2}\n'))
    assert found == [{"a": 1}]


@pytest.mark.parametrize("start", [b'{"a": "', b"<html>\n"])
def test_bounds_the_memory(start: bytes) -> None:
    """A line, and a body that is not a stream, may have a few megabytes and no more."""
    more = b"x" * 2**20 + (b"\n" if start.endswith(b"\n") else b"")
    with pytest.raises(ModelError, match="more than"):
        read(start, *[more] * (MAX_EVENT_BYTES // 2**20 + 1))


def test_a_long_stream_of_short_lines_is_not_bounded() -> None:
    """The bound is for a line, not for the stream."""
    lines = JsonLines(PEER)
    line = json.dumps({"a": "x" * 2**16}).encode() + b"\n"
    count = MAX_EVENT_BYTES // len(line) + 2
    assert sum(1 for _ in range(count) for _ in lines.feed(line)) == count
