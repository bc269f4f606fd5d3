"""The words of a text, for searches by words in any script. Every store splits queries this way."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from agno_rt.names import UNSEEN

__all__ = ["MAX_QUERY_WORDS", "query_signs", "query_words", "split_words"]

MAX_QUERY_WORDS = 64
"""The most words of a query to search for: a user may paste a book."""
MAX_QUERY_CHARACTERS = 10_000
LONGEST_WORD = 64  # characters; the rest of a word is not compared
LONGEST_SIGNS = 100

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff"  # Tibetan
    "\u1000-\u109f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3031-\u303a\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U0001aff0-\U0001b16f\U00020000-\U0003ffff"  # Chinese and Japanese
    "\uac00-\ud7a3"  # Korean: particles follow a noun without a space
)
"""The scripts in which a word does not begin and end with a space, as the inside of a regular expression's set."""

_INVISIBLE = re.compile(f"[{UNSEEN}\ud800-\udfff]")
# A mark belongs to a letter, but \w has no marks: the marks of Latin, Cyrillic, Hebrew, Arabic and Indic scripts.
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u07a6-\u07b0\u0900-\u0963\u0966-\u0dff"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
_RUN = re.compile(f"(?P<unspaced>[{_UNSPACED}]+)|(?:(?![{_UNSPACED}])[\\w{_MARKS}])+")


def split_words(text: str) -> Iterator[str]:
    """Yield the words of a text, folded: in scripts without spaces, each pair of neighbouring characters.

    A lone character of such a script is a word by itself. Case, and forms that look alike (full width, ligatures), do
    not count. Underscores, hyphens and all other signs part words.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("_", " ")
    for run in _RUN.finditer(folded):
        word = run[0]
        if run["unspaced"] is None or len(word) == 1:
            yield word[:LONGEST_WORD]
            continue
        yield from (word[at : at + 2] for at in range(len(word) - 1))


def query_words(query: str) -> tuple[str, ...]:
    """Return the different words of a query, at most `MAX_QUERY_WORDS`, in their order; empty for a query without."""
    words: dict[str, None] = {}
    for word in split_words(query[:MAX_QUERY_CHARACTERS]):
        words[word] = None
        if len(words) == MAX_QUERY_WORDS:
            break
    return tuple(words)


def query_signs(query: str) -> str:
    """Return what to look for, character by character, for a query of signs alone: `::`, or an emoji.

    Empty for a query with words, and for a query without visible characters.
    """
    seen = _INVISIBLE.sub("", query[:MAX_QUERY_CHARACTERS]).strip()
    return "" if query_words(seen) else seen[:LONGEST_SIGNS]
