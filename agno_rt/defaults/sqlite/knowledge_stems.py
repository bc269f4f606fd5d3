"""Stems of words in other languages than English, with PyStemmer (`agno-rt[stems]`); without it, none.

The index has each word as it stands, and its stem beside it; English words are reduced by SQLite itself. So documents
added without the extra are found as before, and so are words of a query whose language does not tell.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from agno_rt._retrieval.languages import guess_language

__all__ = ["add_stems"]

_ALGORITHMS = {
    "ar": "arabic",
    "de": "german",
    "el": "greek",
    "es": "spanish",
    "fr": "french",
    "hi": "hindi",
    "it": "italian",
    "nl": "dutch",
    "pt": "portuguese",
    "ru": "russian",
}
"""The algorithms of the Snowball project (https://snowballstem.org) by the languages that `guess_language` tells."""

_local = threading.local()


def add_stems(words: Iterable[str], text: str) -> list[str]:
    """Return the words of a text, and behind them the stems that differ, by the language of the text."""
    found = list(words)
    stemmer = _find_stemmer(guess_language(text))
    if stemmer is None:
        return found
    stems: list[str] = stemmer.stemWords(found)
    return found + [stem for word, stem in zip(found, stems, strict=True) if stem and stem != word]


def _find_stemmer(language: str) -> Any:
    """Return the language's stemmer, or None. A stemmer serves one thread: it keeps a table of its last words."""
    if language not in _ALGORITHMS:
        return None
    stemmers: dict[str, Any] = _local.__dict__.setdefault("stemmers", {})
    if language not in stemmers:
        stemmers[language] = None
        with suppress(ImportError):
            import Stemmer

            stemmers[language] = Stemmer.Stemmer(_ALGORITHMS[language])
    return stemmers[language]
