"""Guesses the language of a short text by script and common words."""

from __future__ import annotations

import re

__all__ = ["guess_language", "share_of_vectors"]

UNKNOWN_SHARE = 0.5
"""The share of an embedder of a few languages in a query whose language is unknown."""

_SCRIPTS = (
    ("ko", "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3"),
    ("ja", "\u3041-\u30ff"),
    ("th", "\u0e01-\u0e5b"),
    ("hi", "\u0900-\u097f"),
    ("ar", "\u0620-\u06ff"),
    ("he", "\u05d0-\u05ea"),
    ("el", "\u0370-\u03ff"),
    ("ru", "\u0400-\u04ff"),
    ("zh", "\u3400-\u4dbf\u4e00-\u9fff"),
)
"""Languages by script; several languages share some of these scripts, and the commonest stands for all.

Japanese is before Chinese: a Japanese text mixes both scripts.
"""

_WORDS = {
    "en": "the of and to is that for it with as was on are be this have from or which you how what when where "
    "why do does can my not an by at who has i we a me no so if but its in into than more while until before after "
    "there their these will would should could all any some other same one two out up about find use write keep",
    "de": "der die das und ist nicht ein eine den von zu mit sich auf für im dem es wie was wann wo warum kann "
    "ich wird werden auch oder bei nach wer man mein sind des",
    "fr": "le la les des et est un une du que qui dans pour pas sur au avec ce il je comment quoi quand où "
    "pourquoi peut sont ou par mon quel quelle aux vous",
    "es": "el la los las de y es un una que en no por con para su se lo como qué cómo cuándo dónde cuál puede "
    "mi son o del al está quién puedo a me",
    "it": "il la le gli di e è un una che in non per con su si come cosa quando dove perché può mio sono o del "
    "della nel alla chi posso a",
    "pt": "o a os as de e é um uma que em não por com para se como quando onde qual pode meu são ou do da no na "
    "quem posso ao",
    "nl": "de het een van en is niet dat in op te met voor zijn er aan hoe wat wanneer waar waarom kan ik of "
    "bij naar wie mijn worden",
}
_BY_WORD: dict[str, list[str]] = {}
for _language, _words in _WORDS.items():
    for _word in _words.split():
        _BY_WORD.setdefault(_word, []).append(_language)

_LETTERS = {
    "ß": "de",
    "ä": "de",
    "ö": "de",
    "ü": "de",
    "ñ": "es",
    "¿": "es",
    "¡": "es",
    "ã": "pt",
    "õ": "pt",
    "œ": "fr",
}
"""Letters and signs of a single language above."""

_MOST_CHARACTERS = 2_000


def guess_language(text: str) -> str:
    """Return the code of the text's language, such as `en`; empty if the text does not tell."""
    text = text[:_MOST_CHARACTERS].casefold()
    letters = sum(char.isalpha() for char in text)
    for language, characters in _SCRIPTS:
        # A third: foreign names and code stand in texts of every script.
        if 3 * len(re.findall(f"[{characters}]", text)) > letters > 0:
            return language
    votes: dict[str, float] = {}
    for word in re.findall(r"\w+", text):
        for language in _BY_WORD.get(word, ()):
            votes[language] = votes.get(language, 0.0) + 1 / len(_BY_WORD[word])
    for letter, language in _LETTERS.items():
        votes[language] = votes.get(language, 0.0) + 2 * (letter in text)
    best, second = sorted(votes.items(), key=lambda vote: -vote[1])[:2]
    return best[0] if best[1] > second[1] else ""


def share_of_vectors(query: str, known: tuple[str, ...]) -> float:
    """Return the share of an embedder in a search: 1 for a query in a known language, 0 for another language.

    `known` are the languages of the embedder's profile. For an embedder of many or unknown languages, the share is 1.
    """
    if not known or "*" in known:
        return 1.0
    language = guess_language(query)
    if not language:
        return UNKNOWN_SHARE
    return 1.0 if language in known else 0.0
