"""Edits of texts: the bytes outside of the replaced text stay, whatever the file's line ends, beginning and end."""

from __future__ import annotations

import pytest
from agno_rt_workspace.base import WorkspaceError
from agno_rt_workspace.edits import edit_text
from hypothesis import given
from hypothesis import strategies as st

CASES = [
    # file, old, new, result
    (b"a\nb\nc\n", "b", "x", b"a\nx\nc\n"),
    (b"a\r\nb\r\nc\r\n", "a\nb\n", "x\ny\nz\n", b"x\r\ny\r\nz\r\nc\r\n"),
    (b"a\r\nb\r\nc", "c", "c\nd", b"a\r\nb\r\nc\r\nd"),
    (b"a\r\nb\r\nc\r\n", "b\r\nc", "x", b"a\r\nx\r\n"),
    (b"\xef\xbb\xbfa\r\nb", "a", "x", b"\xef\xbb\xbfx\r\nb"),
    (b"a\nb", "b", "x\ny", b"a\nx\ny"),
    (b"a\nb\r\nc\nd\r\n", "b\nc", "x\ny", b"a\nx\r\ny\nd\r\n"),
    (b"a\r\nb\nc\n", "b\n", "x\ny\n", b"a\r\nx\ny\nc\n"),
    (b"a\rb\rc", "b", "x", b"a\rx\rc"),
    (b"a\r\n\nb", "\n\n", "\n", b"a\r\nb"),
    (b"no end", "no end", "", b""),
    ("é ü".encode(), "ü", "ö", "é ö".encode()),
    (b"a.b a+b", "a+b", r"\1", b"a.b \\1"),
]


@pytest.mark.parametrize(("data", "old", "new", "result"), CASES)
def test_one_place(data: bytes, old: str, new: str, result: bytes) -> None:
    """A text is replaced, with the line ends of its place; one and all behave alike."""
    assert edit_text(data, old, new) == (result, 1)
    assert edit_text(data, old, new, every=True) == (result, 1)


def test_every_place() -> None:
    """With `every`, each place keeps the line ends that it has."""
    assert edit_text(b"a\nb\r\na\r\n", "a\n", "x\ny\n", every=True) == (b"x\ny\nb\r\nx\r\ny\r\n", 2)


@pytest.mark.parametrize(
    ("data", "old", "new", "problem"),
    [
        (b"a b a", "a", "x", "is in f.txt 2 times, in lines 1, 1"),
        (b"aaa", "aa", "x", "is in f.txt 2 times"),
        (b"a\r\na\na", "a\n", "x", "2 times, in lines 1, 2"),
        (b"abc", "x", "y", "is not in f.txt"),
        (b"a", "a\n", "x\n", "is not in f.txt"),
        (b"abc", "", "y", "is empty"),
        (b"abc", "b", "b", "is the old one"),
        (b"a\r\nb", "a\r\nb", "a\nb", "is the old one"),
        (b"\xff", "a", "b", "not UTF-8"),
    ],
)
def test_refusals(data: bytes, old: str, new: str, problem: str) -> None:
    """A text that is not there, that is there several times, or that changes nothing is refused with a reason."""
    with pytest.raises(WorkspaceError, match=problem) as caught:
        edit_text(data, old, new, path="f.txt")
    assert caught.value.hint


TEXT = st.text(alphabet="ab\r\n\ufeffé", max_size=20)


@given(TEXT, st.text(alphabet="xy\n", min_size=1, max_size=5), TEXT, st.text(alphabet="xyz\n", max_size=5))
def test_the_rest_stays(before: str, old: str, after: str, new: str) -> None:
    """Whatever stands around a place is the same to the byte after an edit of the place."""
    data = (before + old + after).encode()
    try:
        changed, _ = edit_text(data, old, new)
    except WorkspaceError:
        return
    # The place is known only if the old text has a letter that nothing around it has.
    if {"x", "y"} & set(old):
        left = before.removesuffix("\r") if old.startswith("\n") else before
        assert changed.startswith(left.encode())
        assert changed.endswith(after.encode())
        assert changed.decode()[len(left) : len(changed.decode()) - len(after)].replace("\r\n", "\n") == new
