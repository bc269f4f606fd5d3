"""The `Reranker` protocol: sorts texts by a query, better and slower than vectors do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import attrs

from agno_rt.errors import UsageError

__all__ = ["NO_RERANKER_PROFILE", "Ranked", "Reranker", "RerankerProfile", "check_ranking", "reranker_profile"]


class Ranked(NamedTuple):
    """The place of a text in the given list, from 0, and the score of the text: the higher, the better.

    Compare scores of one reranker only.
    """

    place: int
    score: float


@attrs.frozen
class RerankerProfile:
    """The facts about a reranker.

    Attributes:
        max_tokens: the most tokens of the query and one text together; `None` if unknown
        batch_texts: the most texts of a request
        requests: the most requests at once
        languages: the known languages; empty if unknown, `("*",)` for many
        note: one sentence about the reranker for `agno-rt models`
    """

    max_tokens: int | None = None
    batch_texts: int = 100
    requests: int = 4
    languages: tuple[str, ...] = ()
    note: str = ""


NO_RERANKER_PROFILE = RerankerProfile()


@runtime_checkable
class Reranker(Protocol):
    """The protocol of a reranker plugin.

    `rerank` raises and is cancelled as `Embedder.embed`; the optional members are the same, with a `RerankerProfile`.
    `Runtime.reranker` returns the reranker in a `RerankerBatches`, which splits, bounds and retries.
    """

    @property
    def name(self) -> str:
        """The reranker's name in logs and errors: its spec string."""
        ...

    async def rerank(self, query: str, texts: Sequence[str], *, top: int | None = None) -> list[Ranked]:
        """Return the `top` best texts, or all texts, the best first."""
        ...


def reranker_profile(reranker: object) -> RerankerProfile:
    """Return the reranker's profile, or the default for a reranker without a profile."""
    profile = getattr(reranker, "profile", NO_RERANKER_PROFILE)
    return profile if isinstance(profile, RerankerProfile) else NO_RERANKER_PROFILE


def check_ranking(query: str, texts: Sequence[str], top: int | None) -> None:
    """Raise `UsageError` for an unusable query, text or number."""
    if not isinstance(query, str) or not query or query.isspace():
        raise UsageError(f"the query to rank by is {query!r}", hint="Give a text that is not blank.")
    if isinstance(texts, str | bytes):
        raise UsageError("the texts to rank are one string", hint="Give a list of texts: [...].")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"text {place} to rank is a {type(text).__name__}", hint="Give texts.")
    if top is not None and (type(top) is not int or top < 1):
        raise UsageError(f"top is {top!r}", hint="Give the number of texts to return, at least 1, or None for all.")
