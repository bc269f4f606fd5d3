"""Titles of sessions: what is made of a text."""

from __future__ import annotations

import pytest

from agno_rt import Message
from agno_rt.memory import MAX_TITLE, first_words, session_title
from agno_rt.names import UNSEEN


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("", ""),
        (" \n\u2028\t ", ""),
        ("\u202e\u200b", ""),
        ("one\n\ntwo\u2029three\tfour", "one two three four"),
        ("\x1b[31mred\x07 \ud800x", "[31mred x"),
        ("a \u200b b", "a b"),
        ("\N{FAMILY} \N{MAN}\u200d\N{WOMAN}", "\N{FAMILY} \N{MAN}\u200d\N{WOMAN}"),
        (" " * 100_000 + "late", "late"),
        ("x" * MAX_TITLE, "x" * MAX_TITLE),
        ("x" * (MAX_TITLE + 1), "x" * (MAX_TITLE - 1) + "…"),
        ("x" * (MAX_TITLE - 1) + " y", "x" * (MAX_TITLE - 1) + "…"),
        ("short " + "x" * MAX_TITLE, "short " + "x" * (MAX_TITLE - 7) + "…"),
        ("x" * 60 + " " + "y" * 60, "x" * 60 + "…"),
    ],
)
def test_a_title(text: str, title: str) -> None:
    """It is one line that can be shown anywhere, cut at a word where there is one near the end."""
    assert session_title(text) == title
    assert len(title) <= MAX_TITLE
    assert session_title(title) == title


def test_a_title_of_any_text() -> None:
    """No character that steers the text around it is left, and none that UTF-8 cannot carry."""
    title = session_title(UNSEEN[:70])

    assert title.isprintable()
    title.encode()


def test_first_words() -> None:
    """They are a user's, of the first message that says anything."""
    said = [Message("system", "a"), Message("assistant", "b"), Message("user", " "), Message("user", "c d")]

    assert first_words(said) == "c d"
    assert first_words(said[:3]) == ""
