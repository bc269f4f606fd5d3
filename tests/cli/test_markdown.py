"""Markdown in a terminal: the output is independent of the pieces, loses no text, and fits the line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from agno_rt.cli.text.markdown import MarkdownWriter

MARKS = [
    "*",
    "**",
    "_",
    "`",
    "``",
    "~~",
    "[",
    "](",
    ")",
    "![",
    "<https://a",
    ">",
    "\\",
    "#",
    "-",
    "1.",
    "|",
    "---",
    "```",
    "~~~",
]
WORDS = ["a", "bc", "def", "가나", "漢字。", "x_y", "2", "é", "\U0001f468\u200d\U0001f469"]
TEXTS = st.lists(st.sampled_from([*MARKS, *WORDS, " ", " ", "  ", "\n", "\n", "\n\n"]), max_size=60).map("".join)


def shown(*pieces: str, width: int = 30, colour: bool = True) -> str:
    """Return the output for a text that arrives in these pieces."""
    written: list[str] = []
    writer = MarkdownWriter(written.append, lambda: width, colour)
    for piece in pieces:
        writer.feed(piece)
    writer.finish()
    assert not writer.is_open
    return "".join(written)


def bare(text: str) -> str:
    """Strip the styles from the text."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@settings(deadline=None)
@given(TEXTS, st.lists(st.integers(1, 7), min_size=1, max_size=20))
def test_how_a_text_is_cut_does_not_matter(text: str, sizes: list[int]) -> None:
    """Different cuts of a text give the same output."""
    pieces: list[str] = []
    at = 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size

    assert shown(*pieces) == shown(text)


@settings(deadline=None)
@given(TEXTS)
def test_nothing_is_lost(text: str) -> None:
    """Every letter and digit is written, in order, whatever the markers around it."""
    text = text.replace("|", "").replace("<", "")
    written = bare(shown(text, colour=False))

    assert re.sub(r"\W|_", "", written) == re.sub(r"\W|_", "", text)


@settings(deadline=None)
@given(TEXTS, st.integers(20, 60))
def test_lines_fit(text: str, width: int) -> None:
    """Lines of words fit the terminal; lines of code and longer words are left to the terminal."""
    text = re.sub("[`~|]", "", text)
    for line in bare(shown(text, width=width)).splitlines():
        assert cell_len(line) <= width or " " not in line.strip(" •│")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2 * 3 * 4, a_b_c, *open, 5 ** 2", "2 * 3 * 4, a_b_c, *open, 5 ** 2\n"),
        ("***both*** and **bold *in* it**", "both and bold in it\n"),
        ("`` a`b `` and \\*no\\*", "`a`b` and *no*\n"),
        ("[a](https://b.c/d_(e)) ![cat](cat.png) [x] [y]: z", "a (https://b.c/d_(e)) cat (cat.png) [x] [y]: z\n"),
        ("<https://a.b> <b> 1 < 2", "https://a.b <b> 1 < 2\n"),
        ("# One\ntext\n## C#\n\n\n\nmore\n\n", "One\ntext\n\nC#\n\nmore\n"),
        ("- a\n  - b\n    - c\n- d\n* e\n\n3) f", "• a\n  • b\n    • c\n• d\n• e\n\n3) f\n"),
        ("> one\n> > two\n> - three", "│ one\n│ │ two\n│ • three\n"),
        ("- a\n  ```py\n  if x:\n      y\n  ```\n- b", "• a\n  ```py\n  if x:\n      y\n  ```\n• b\n"),
        ("```\nopen **code**", "```\nopen **code**\n"),
        ("a\n---\nb", "a\n────────────────────\nb\n"),
        ("| a | b |\n|---|--:|\n| x \\| y | 1 |\n\nend", "a     │ b\n──────┼──\nx | y │ 1\n\nend\n"),
        ("| not a table |\nend", "| not a table |\nend\n"),
        ("|one title|another title|\n|-|-|\n|1|2|\n|3|4|", None),
    ],
)
def test_forms(text: str, written: str | None) -> None:
    """Each block and each kind of emphasis has its form; lookalikes stay text."""
    if written is None:
        written = "one title: 1\nanother title: 2\n\none title: 3\nanother title: 4\n"
        assert bare(shown(text, width=20, colour=False)) == written
    else:
        assert bare(shown(text, width=60, colour=False)) == written
