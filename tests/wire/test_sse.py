"""Server-sent events from bytes in any pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt.wire.sse import EventParser


def events(*chunks: bytes) -> list[bytes]:
    """Return the data of all events in the chunks."""
    parser = EventParser()
    whole = [data for chunk in chunks for data in parser.feed(chunk)]
    last = parser.end()
    return whole if last is None else [*whole, last]


class TestEvents:
    """Bytes to events."""

    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
    def test_takes_every_line_end(self, end: bytes) -> None:
        """LF, CRLF and CR end a line."""
        assert events(end.join([b"data: a", b"", b"data: b", b"", b""])) == [b"a", b"b"]

    def test_joins_data_lines(self) -> None:
        """Several data lines are one event, joined by line feeds; one space after the colon is dropped."""
        assert events(b"data: a\ndata:  b\ndata:c\n\n") == [b"a\n b\nc"]

    def test_leaves_out_comments_and_other_fields(self) -> None:
        """Comments, ids, event names and retries are ignored; so is an event without data."""
        assert events(b"\xef\xbb\xbf: ping\nid: 1\nevent: x\nretry: 5\n\ndata: a\n: b\n\n") == [b"a"]

    @pytest.mark.parametrize(
        ("event", "data"),
        [
            (b"event: x\ndata: a", [b"a"]),
            (b"event: x\nother data: a", []),
            (b"event: x data: a", []),
            (b"event: x\n\ndata: a", [b"a"]),
            (b"data: a data: b", [b"a data: b"]),
            (b"data: a\nid: 1", [b"a"]),
            (b"id: 1\ndata: a\ndata: b", [b"a\nb"]),
            (b"metadata: a", []),
            (b"data:a", [b"a"]),
            (b"data", [b""]),
            (b"\n\ndata: a", [b"a"]),
            (b": data: a", []),
        ],
    )
    def test_whole_events_take_the_short_way(self, event: bytes, data: list[bytes]) -> None:
        """Events that come whole, after others, are read as events that come byte by byte."""
        before = b"data: 0\n\n"
        assert events(before, event + b"\n\n") == [b"0", *data]
        assert events(*(bytes([byte]) for byte in before + event + b"\n\n")) == [b"0", *data]

    def test_gives_what_the_end_cut_off(self) -> None:
        """An event without its blank line, or without its last line feed, is returned at the end."""
        assert events(b"data: a\n\ndata: b") == [b"a", b"b"]

    def test_bounds_a_line_that_never_ends(self) -> None:
        """A line, or an event of many lines, beyond the limit is refused."""
        for piece in (b"x" * 10, b"data: xxxx\n"):
            parser = EventParser(limit=100)
            with pytest.raises(ValueError, match="more than 100 bytes"):
                list(itertools.chain.from_iterable(parser.feed(piece) for _ in range(100)))

    def test_comments_do_not_add_up(self) -> None:
        """Any number of comments may stand before an event."""
        parser = EventParser(limit=100)
        assert [data for _ in range(100) for data in parser.feed(b": still there\n")] == []
        assert list(parser.feed(b"data: a\n\n")) == [b"a"]

    @given(
        st.lists(
            st.sampled_from([b'data: {"a":"', "é€👋".encode(), b"\r", b"\n", b"\r\n", b": c", b"data:", b"\n\n", b"x"])
        ),
        st.data(),
    )
    def test_any_cut_gives_the_same_events(self, pieces: list[bytes], data: st.DataObject) -> None:
        """A stream in any pieces, split inside characters or between CR and LF, has the same events."""
        whole = b"".join(pieces)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
        bounds = [0, *cuts, len(whole)]
        parts = [whole[start:end] for start, end in itertools.pairwise(bounds)]
        assert events(*parts) == events(whole)
