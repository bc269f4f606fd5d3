"""Media types are detected by the first bytes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agno_rt.media.types import BY_SUFFIX, SNIFFED, canonical, is_text_type, sniff, suffix_of
from tests.samples import BINARIES, PNG


@pytest.mark.parametrize(("suffix", "sample"), BINARIES.items(), ids=BINARIES)
def test_each_format_is_known_by_its_beginning(suffix: str, sample: tuple[bytes, str]) -> None:
    """The first bytes alone give a file's type; the type of its ending is among the results."""
    data, kind = sample

    assert sniff(data)[0] == kind
    assert BY_SUFFIX[suffix] in sniff(data)
    assert set(sniff(data)) <= SNIFFED


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (b"GIF87a", ("image/gif",)),
        (b"MM\0*\0\0\0\x08", ("image/tiff",)),
        (b"ID3\x04\0", ("audio/mpeg",)),
        (b"\0\0\0\x18ftypmif1", ("image/heic", "image/avif")),
        (b"\0\0\0\x18ftypzzzz", ("video/mp4", "audio/mp4")),
    ],
)
def test_variants_of_a_format(data: bytes, kinds: tuple[str, ...]) -> None:
    """Older versions, the other byte order, shared brands, and unknown brands of a known container are recognised."""
    assert sniff(data) == kinds


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\1\2\3",
        "Grüße".encode("utf-16"),
        "Grüße".encode("latin-1"),
        b"\xff\xfb",
        b"\xff\xff\xff\xff",
        b"\xff\xfb\xf0\x64",
        b"RIFF\0\0\0\0ACON",
        b"text\x00",
    ],
)
def test_what_is_of_no_known_kind(data: bytes) -> None:
    """Noise, text outside of UTF-8, and bytes similar to a frame of sound have no type; empty bytes are text."""
    assert sniff(data) == (("text/plain",) if not data else ())


@pytest.mark.parametrize(
    "text", ["a", "Grüße, 世界 👋\n\tx\r\n", "\ufeffwith a mark", "BMW", "PK", "ID3 tags", "OggS", "a\x1b[31m"]
)
def test_text(text: str) -> None:
    """UTF-8 without control characters is text, whatever the beginning; escape sequences of a terminal are allowed."""
    assert sniff(text.encode()) == ("text/plain",)


@pytest.mark.parametrize(
    "text",
    [
        '<svg xmlns="http://www.w3.org/2000/svg"/>',
        '<?xml version="1.0"?>\n<!-- drawn -->\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x">\n<svg >',
        "  <SVG>",
    ],
)
def test_a_drawing_is_text_and_image(text: str) -> None:
    """SVG is an image and a text, with or without a prolog before its element."""
    assert sniff(text.encode()) == ("image/svg+xml", "text/plain")
    assert sniff(f"x{text}".encode()) == ("text/plain",)


@given(st.binary(max_size=40) | st.sampled_from([data for data, _ in BINARIES.values()]).map(lambda data: data[:20]))
@example(PNG[:7])
@example(b"\0\0\0\0ftyp")
@example(b"BM")
@example(b"RIFF")
def test_any_bytes_have_types_or_none(data: bytes) -> None:
    """Any bytes, even the first few of a file, have types by their usual names, or none."""
    assert all(canonical(kind) == kind for kind in sniff(data))


@pytest.mark.parametrize(
    ("given", "usual"),
    [
        ("image/png", "image/png"),
        ("Image/JPG", "image/jpeg"),
        (" audio/x-wav ; rate=1", "audio/wav"),
        ("text/json; charset=utf-8", "application/json"),
        ("image/*", "image/*"),
        ("png", ""),
        ("image/", ""),
        ("/png", ""),
        ("image/p ng", ""),
        ("image/png/x", ""),
        ("", ""),
    ],
)
def test_names_of_types(given: str, usual: str) -> None:
    """A type has one name, in small letters and without parameters; a malformed type has an empty name."""
    assert canonical(given) == usual


def test_endings() -> None:
    """An ending follows the last dot, in small letters; each known ending has a type by its usual name."""
    assert [suffix_of(name) for name in ("a.tar.GZ", "a", ".png", "a.")] == ["gz", "", "png", ""]
    assert all(canonical(kind) == kind for kind in BY_SUFFIX.values())


@pytest.mark.parametrize(
    ("kind", "is_text"),
    [
        ("text/x-python", True),
        ("application/json", True),
        ("application/ld+json", True),
        ("application/pdf", False),
        ("image/svg+xml", False),
    ],
)
def test_types_of_text(kind: str, is_text: bool) -> None:
    """Types of readable text count as text, in any family; drawings do not."""
    assert is_text_type(kind) is is_text
