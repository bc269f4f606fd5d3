"""Reads vectors and rankings in the forms of several services: JSON values in, `Vector` and `Ranked` out. Pure.

References: OpenAI's API reference, "Create embeddings" (also the form of Jina, Mistral, Voyage and local servers), and
Cohere's, "Rerank" (also the form of Jina, vLLM, llama.cpp's server and Together). Every function raises `ValueError`
for a value of another shape.
"""

from __future__ import annotations

import binascii
import math
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from agno_rt.knowledge.embedders import Vector, unit_vector
from agno_rt.knowledge.rerankers import Ranked
from agno_rt.messages import Usage
from agno_rt.wire.chat_completions import ReportedError
from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.refusals import Peer, plain, reported

__all__ = ["count_tokens", "read_by_index", "read_ranking", "read_value", "read_vectors"]

T = TypeVar("T")

_SCORES = ("relevance_score", "score")


def read_value(body: bytes, peer: Peer, read: Callable[[Any], T], noun: str) -> T:
    """Return the result of `read` for the JSON value of a body. Raises `ModelError` that quotes the server.

    An error object in place of the value is the server's error, whatever the status.
    """
    value = read_json(body)
    try:
        if isinstance(value, Mapping) and value.get("error"):
            raise ReportedError("an error object", value)
        if not isinstance(value, Mapping | list):
            raise ValueError("it is not a JSON object")
        return read(value)
    except ReportedError as exc:
        raise reported(peer, exc.error) from None
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as exc:
        # From None: the cause quotes the server literally, with secrets, and a traceback would show the cause.
        raise peer.error(f"answered with something other than {noun}: {plain(str(exc), peer)}") from None


def read_by_index(entries: Any, count: int, field: str = "embedding") -> list[Vector]:
    """Return the vectors of entries in the order of their `index`; without any index, in the order of the entries."""
    if not isinstance(entries, list):
        raise ValueError(f"the vectors are {type(entries).__name__}, not a list")
    if len(entries) != count:
        raise ValueError(f"{len(entries)} vectors for {count} texts")
    found: dict[int, Any] = {}
    for place, entry in enumerate(entries):
        index = entry.get("index", place)
        if type(index) is not int or not 0 <= index < count or index in found:
            raise ValueError(f"index {index!r} among {count} texts")
        found[index] = entry[field]
    return read_vectors([found[place] for place in range(count)], count)


def read_vectors(values: Any, count: int) -> list[Vector]:
    """Return the vectors, each with length 1; each value is a list of numbers, or base64 of 32-bit floats."""
    if not isinstance(values, list):
        raise ValueError(f"the vectors are {type(values).__name__}, not a list")
    if len(values) != count:
        raise ValueError(f"{len(values)} vectors for {count} texts")
    vectors = [unit_vector(_decode_vector(value)) for value in values]
    lengths = sorted({len(vector) for vector in vectors})
    if len(lengths) > 1:
        raise ValueError(f"vectors of several lengths: {', '.join(map(str, lengths))}")
    return vectors


def read_ranking(value: Any, count: int, wanted: int) -> list[Ranked]:
    """Return the ranking of an answer, the best first: at least `wanted` of `count` texts, and none of them twice."""
    entries = value if isinstance(value, list) else value.get("results", value.get("data"))
    if not isinstance(entries, list):
        raise ValueError("results is missing")
    ranked: dict[int, Ranked] = {}
    for entry in entries:
        index, score = entry["index"], next((entry[name] for name in _SCORES if name in entry), None)
        if type(index) is not int or not 0 <= index < count or index in ranked:
            raise ValueError(f"index {index!r} among {count} texts")
        if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
            raise ValueError(f"the score of text {index} is {score!r}")
        ranked[index] = Ranked(index, float(score))
    if len(ranked) < wanted:
        raise ValueError(f"{len(ranked)} texts ranked, where {wanted} were asked for")
    return sorted(ranked.values(), key=lambda each: (-each.score, each.place))[:wanted]


def count_tokens(usage: Any, *names: str) -> Usage:
    """Return the first count of a usage object under the names; no tokens without a count."""
    counts = usage if isinstance(usage, Mapping) else {}
    found = (counts.get(name) for name in names)
    return Usage(input_tokens=next((each for each in found if type(each) is int and each >= 0), 0))


def _decode_vector(value: Any) -> Sequence[float]:
    if isinstance(value, str):
        try:
            floats = array("f", binascii.a2b_base64(value, strict_mode=True))
        except (binascii.Error, ValueError) as exc:
            raise ValueError(f"a vector is not base64 of 32-bit floats: {exc}") from None
        if sys.byteorder == "big":  # the services send the low byte first
            floats.byteswap()
        return floats
    if not isinstance(value, list) or not value:
        raise ValueError(f"a vector is {type(value).__name__ if not isinstance(value, list) else 'empty'}")
    return value
