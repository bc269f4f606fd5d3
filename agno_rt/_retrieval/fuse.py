"""Joins the hits of several rankers into one list.

The weights were chosen on 38 questions of one author, in English, on this project's docs, with llamacpp:minilm. Whole
documents are fused with the constant 10, and vectors have twice the weight of words: the best of 20 settings, measured
on the same questions that chose it, so its figures are too good. The neighbouring settings are within one standard
error, 0.08. Measure with questions of your own (`agno-rt knowledge evaluate`) before you rely on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from agno_rt.knowledge.documents import Hit

__all__ = ["VECTORS_WEIGHT", "fuse", "merge_equal"]

K = 10
"""The constant of reciprocal rank fusion: the first place counts 1/(K+1), the second 1/(K+2).

Measured with `benchmarks/knowledge_questions.jsonl`, 38 questions on this project's docs, and llamacpp:minilm, as
recall at 1 and at 5: words 0.39 and 0.76; vectors 0.58 and 0.92; documents at 10 with the weight below 0.68 and 0.92;
chunks at 60, the customary constant, 0.63 and 0.84. One standard error is 0.08.
"""

VECTORS_WEIGHT = 2.0
"""The weight of vectors beside words, from the same questions: equal weights had 0.61 and 0.89."""

_Document = tuple[str | None, str]


def fuse(rankings: Iterable[tuple[Sequence[Hit], float]], limit: int) -> list[Hit]:
    """Return the best hits of several rankings with shares, best first.

    Documents are fused by the best chunk of each. The further chunks of a document, in the order of the rankers, have
    half, a third, ... of the document's score, so that a good second chunk stands before a poor document.
    """
    documents: dict[_Document, float] = {}
    chunks: dict[tuple[str | None, str, int], float] = {}
    found: dict[tuple[str | None, str, int], Hit] = {}
    for hits, share in rankings:
        if not share:
            continue
        places: dict[_Document, int] = {}
        for at, hit in enumerate(hits):
            document = hit.user, hit.chunk.source
            if document not in places:
                places[document] = len(places) + 1
                documents[document] = documents.get(document, 0.0) + share / (K + places[document])
            chunks[hit.key] = chunks.get(hit.key, 0.0) + share / (K + at + 1)
            known = found.get(hit.key)
            found[hit.key] = hit if known is None else attrs.evolve(known, found_by=(*known.found_by, *hit.found_by))
    within: dict[_Document, int] = {}
    scored: list[Hit] = []
    for key in sorted(chunks, key=lambda key: -chunks[key]):
        document = key[:2]
        within[document] = within.get(document, 0) + 1
        scored.append(attrs.evolve(found[key], score=documents[document] / within[document]))
    # Sorting keeps the order of equal scores: a document's chunks, and the better chunk of two documents.
    return merge_equal(sorted(scored, key=lambda hit: -hit.score))[:limit]


def merge_equal(hits: Iterable[Hit]) -> list[Hit]:
    """Return the hits without repeated texts: the first hit of a text has the other sources in `also`."""
    first: dict[str, Hit] = {}
    for hit in hits:
        text = hit.chunk.text
        known = first.get(text)
        if known is None:
            first[text] = hit
        elif hit.chunk.source not in (known.chunk.source, *known.also):
            first[text] = attrs.evolve(known, also=(*known.also, hit.chunk.source))
    return list(first.values())
