"""The parts that every store of facts about users needs, and a model's tools for facts. Knows no store and no run.

A store checks a fact with `fact_text`, `fact_topics` and `known_user`, recognises a known fact by `fact_key`, and
answers a search with `ranked`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Sequence

from agno_rt.context import RunContext
from agno_rt.errors import NotFound, UsageError
from agno_rt.memory import Fact, FactStore
from agno_rt.names import check_name
from agno_rt.tools import Tool, tool

__all__ = [
    "MAX_CHARACTERS",
    "MAX_FACTS",
    "MAX_TOPICS",
    "duplicate_fact",
    "fact_key",
    "fact_text",
    "fact_tools",
    "fact_topics",
    "known_user",
    "ranked",
    "too_many_facts",
    "unknown_fact",
]

MAX_FACTS = 500
"""The most facts about one user."""
MAX_CHARACTERS = 500
"""The most characters in a fact's text."""
MAX_TOPICS = 10
"""The most topics of a fact."""

RECALLED = 20
"""The most facts to show the model at a time."""
LEAST_BEGINNING = 4
"""The characters that two related words must share at the beginning."""
READ_CHARACTERS = 10_000
"""The characters of a query to read. A user may have pasted a book."""
LONGEST_WORD = 50  # characters; the rest of a word is not compared

_WORD = re.compile(r"\w+")
_COMMON = frozenset(
    _WORD.findall(
        "a about am an and are as at be been but by can could did do does for from had has have he her him his how i if"
        " in is it its me my no not of on or our she should so that the their them there they this to us was we were"
        " what when where which who why will with would you your"
    )
)
"""Words that carry no topic."""


def known_user(user: str) -> str:
    """Return the user if a store can keep facts about them. Raises the errors of `check_name`."""
    return check_name("the user of a fact", user)


def fact_text(text: str) -> str:
    """Return the text to keep: one line of printable characters. Raises `UsageError` for an empty or too long text.

    A model sees facts among others, one per line, so that no fact can pass for anything else.
    """
    kept = _clean_line(text, "a fact")
    if not kept:
        raise UsageError("a fact is empty", hint="Say in a sentence what is known about the user.")
    if len(kept) > MAX_CHARACTERS:
        hint = f"Keep it to {MAX_CHARACTERS} characters, or make several facts of it."
        raise UsageError(f"a fact has {len(kept)} characters", hint=hint)
    return kept


def fact_topics(topics: Sequence[str]) -> tuple[str, ...]:
    """Return the topics to keep. Raises `UsageError` for a topic that is empty or too long, and for too many topics."""
    if isinstance(topics, str):
        raise UsageError(f"the topics of a fact are {topics!r}", hint="Give a sequence of texts: ['food'].")
    kept = tuple(dict.fromkeys(_clean_line(topic, "a topic") for topic in topics))
    if len(kept) > MAX_TOPICS or not all(0 < len(topic) <= MAX_CHARACTERS for topic in kept):
        hint = f"Give at most {MAX_TOPICS}, each of them a word or two."
        raise UsageError(f"a fact has the topics {kept!r}", hint=hint)
    return kept


def fact_key(text: str) -> str:
    """Return a key that equal facts share: case, spaces and the end of the sentence do not count."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split()).rstrip(" .!") or text


def ranked(facts: Iterable[Fact], query: str, limit: int) -> list[Fact]:
    """Return the facts with words of the query in their text or topics, best first; equal ones keep their order.

    A word counts more if fewer facts have it. A word that begins like the query's word counts in part: a plural, say,
    or a Korean noun with its particle. The most common English words do not count.
    """
    known = list(facts)
    having: dict[str, list[int]] = {}  # the positions of the facts with each word
    for at, fact in enumerate(known):
        for word in _split_words(" ".join((fact.text, *fact.topics))):
            having.setdefault(word, []).append(at)
    vocabulary = sorted(having)
    scores = dict.fromkeys(range(len(known)), 0.0)
    for word in sorted(_split_words(query[:READ_CHARACTERS])):
        shares = {at: 0.5 for other in _find_related(word, vocabulary, having) for at in having[other]}
        shares.update(dict.fromkeys(having.get(word, ()), 1.0))
        for at, share in shares.items():
            # The logarithm makes a rare word count more (the inverse document frequency of search engines).
            scores[at] += share * math.log(1 + len(known) / len(shares))
    best = sorted((at for at, score in scores.items() if score > 0), key=lambda at: -scores[at])
    return [known[at] for at in best[:limit]]


def too_many_facts(user: str) -> UsageError:
    """Return the error for a user with too many facts to keep another."""
    return UsageError(
        f"there are {MAX_FACTS} facts about user {user!r}, and no more are kept",
        hint="Correct one that is out of date, or forget some.",
    )


def unknown_fact(id: str, known: Iterable[str]) -> NotFound:
    """Return the error for an id that is not among the user's facts."""
    return NotFound("fact", id, known)


def duplicate_fact(id: str, other: str) -> UsageError:
    """Return the error for a correction that repeats another fact of the user."""
    hint = f"Forget {id!r} if the two are one."
    return UsageError(f"fact {other!r} already has the text for fact {id!r}", hint=hint)


def fact_tools(store: FactStore) -> tuple[Tool, ...]:
    """Return the tools by which a model remembers, recalls, corrects and forgets facts about the user of its run.

    The tools act for the run's user alone, whatever the model says; in a run without a user they do nothing.
    """

    @tool
    async def remember_fact(text: str, context: RunContext) -> str:
        """Keep a lasting fact about the user for later conversations: a name, a preference, a circumstance.

        Args:
            text: the fact, as one short sentence that is clear by itself
        """
        return await _remember_fact(store, context, text)

    @tool
    async def recall_facts(query: str, context: RunContext) -> str:
        """Search what was kept about the user in earlier conversations.

        Args:
            query: a few words to search for; empty for the newest facts
        """
        return await _recall_facts(store, context, query)

    @tool
    async def correct_fact(id: str, text: str, context: RunContext) -> str:
        """Put a new text in place of a fact about the user that is wrong or out of date.

        Args:
            id: the fact's id
            text: what is right, as one short sentence that is clear by itself
        """
        return await _correct_fact(store, context, id, text)

    @tool
    async def forget_fact(id: str, context: RunContext) -> str:
        """Forget a fact about the user, when they ask for it or it no longer holds.

        Args:
            id: the fact's id
        """
        return await _forget_fact(store, context, id)

    return remember_fact, recall_facts, correct_fact, forget_fact


_NOBODY = "It is not known who the user is, so nothing can be kept or recalled."


async def _remember_fact(store: FactStore, context: RunContext, text: str) -> str:
    if context.user is None:
        return _NOBODY
    try:
        fact = await store.remember(context.user, text, session=context.session)
    except UsageError as exc:
        return f"Not kept: {exc.full_text}"
    return f"Kept as {fact.id}: {fact.text}"


async def _recall_facts(store: FactStore, context: RunContext, query: str) -> str:
    if context.user is None:
        return _NOBODY
    found = await store.facts(context.user, query=query if query.strip() else None, limit=RECALLED)
    return "\n".join(f"[{fact.id}] {fact.text}" for fact in found) or "Nothing like that is known about the user."


async def _correct_fact(store: FactStore, context: RunContext, id: str, text: str) -> str:
    if context.user is None:
        return _NOBODY
    try:
        fact = await store.correct(context.user, id, text)
    except UsageError as exc:
        return f"Not corrected: {exc.full_text}"
    return f"Corrected {fact.id}: {fact.text}"


async def _forget_fact(store: FactStore, context: RunContext, id: str) -> str:
    if context.user is None:
        return _NOBODY
    try:
        await store.forget(context.user, id)
    except UsageError as exc:
        return f"Not forgotten: {exc.full_text}"
    return f"Forgotten: {id}"


def _clean_line(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{what} is {type(text).__name__}", hint="Give text.")
    return " ".join("".join(char if char.isprintable() else " " for char in _check_unicode(text, what)).split())


def _check_unicode(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        hint = "It was probably decoded from bytes that are not UTF-8."
        raise UsageError(f"{what} has a character that is not Unicode text: {exc}", hint=hint) from exc
    return text


def _split_words(text: str) -> frozenset[str]:
    """Return the words that count; in scripts without spaces, also each pair of neighbouring characters."""
    words: set[str] = set()
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        words.add(word[:LONGEST_WORD])
        # Chinese, Japanese and Korean characters: a word may be a whole sentence.
        if any("\u2e80" <= char <= "\ud7ff" for char in word):
            words.update(word[at : at + 2] for at in range(len(word) - 1))
    return frozenset(words - _COMMON)


def _find_related(word: str, vocabulary: Sequence[str], having: Container[str]) -> Iterator[str]:
    """Yield the words of the vocabulary that begin with this word, or that this word begins with, if not short."""
    if len(word) < LEAST_BEGINNING:
        return
    yield from (word[:length] for length in range(LEAST_BEGINNING, len(word)) if word[:length] in having)
    # In the sorted vocabulary, the words that begin with this word follow it without a gap.
    for at in range(bisect_right(vocabulary, word), len(vocabulary)):
        if not vocabulary[at].startswith(word):
            return
        yield vocabulary[at]
