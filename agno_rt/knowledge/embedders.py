"""The `Embedder` protocol and its values. Texts with near meanings get near vectors."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from agno_rt.errors import UsageError
from agno_rt.messages import Usage
from agno_rt.models import NO_USAGE, Price

__all__ = [
    "NO_EMBEDDER_PROFILE",
    "Embedder",
    "EmbedderProfile",
    "Embeddings",
    "Purpose",
    "TooLong",
    "Vector",
    "check_texts",
    "embedder_profile",
    "unit_vector",
]

Purpose = Literal["document", "query"]
"""The use of a text: a stored document, or a query for documents. Some embedders tell the two apart."""

TooLong = Literal["cut", "refuse"]
"""The fate of a text longer than an embedder reads: cut to its beginning, or refused."""

Vector: TypeAlias = "array[float]"
"""A vector of 32-bit floats: `array("f")`. `bytes(vector)` has the floats in the machine's byte order."""


@attrs.frozen
class Embeddings:
    """The vectors of texts, in the order of the texts.

    Attributes:
        vectors: one vector for each text, all of the same length
        usage: the tokens read, and their cost if the price is known
        cut: the places, from 0, of texts that were too long, and cut to their beginnings
    """

    vectors: Sequence[Vector] = attrs.field(repr=lambda vectors: f"<{len(vectors)} vectors>")
    usage: Usage = NO_USAGE
    cut: tuple[int, ...] = ()


@attrs.frozen
class EmbedderProfile:
    """The facts about an embedder.

    Attributes:
        max_tokens: the most tokens of a text; `None` if unknown
        too_long: `cut` to embed the beginning of a longer text, `refuse` to raise `UsageError`
        batch_texts: the most texts of a request
        batch_tokens: the most tokens of a request, by estimate; `None` for no bound
        requests: the most requests at once
        languages: the known languages, as in `("en",)`; empty if unknown, `("*",)` for many
        note: one sentence about the embedder for `agno-rt models`
        unit: vectors have length 1, and the dot product of two vectors is the cosine of the angle
        price: the price of tokens, if known
        in_process: true for an embedder in this process, loaded at the first call
    """

    max_tokens: int | None = None
    too_long: TooLong = "refuse"
    batch_texts: int = 96
    batch_tokens: int | None = None
    requests: int = 4
    languages: tuple[str, ...] = ()
    note: str = ""
    unit: bool = True
    price: Price | None = None
    in_process: bool = False


NO_EMBEDDER_PROFILE = EmbedderProfile()


@runtime_checkable
class Embedder(Protocol):
    """The protocol of an embedder plugin.

    `embed` raises `ModelError` (with `provider`, `status` and `retryable`) if no vectors can be had, `UsageError` for a
    text that cannot be embedded, lets `trio.Cancelled` pass, and stops working when cancelled. A plugin sends the texts
    of a call in one request: `Runtime.embedder` returns the embedder in a `Batches`, which splits, bounds and retries.

    Optional members:

    - `profile`: an `EmbedderProfile`, for an embedder that differs from the default
    - `async def aclose()`: closes open resources; the runtime calls it when closing
    - `statistics()`: returns a tuple of `LimitStatistics`, for an embedder with limits of its own
    - `check_ready()`: raises the error that a call would meet, if weights or a key are missing, and contacts no other
      machine (see `readiness`)
    """

    @property
    def name(self) -> str:
        """The embedder's spec string. Vectors of embedders with the same name can be compared, and no others."""
        ...

    @property
    def dimensions(self) -> int | None:
        """The length of a vector; `None` until the first call, if unknown."""
        ...

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """Return the vectors of the texts, in order."""
        ...


def embedder_profile(embedder: object) -> EmbedderProfile:
    """Return the embedder's profile, or the default for an embedder without a profile."""
    profile = getattr(embedder, "profile", NO_EMBEDDER_PROFILE)
    return profile if isinstance(profile, EmbedderProfile) else NO_EMBEDDER_PROFILE


def unit_vector(values: Iterable[float]) -> Vector:
    """Return the values as a vector of length 1. Raises `ValueError` for values without a direction.

    A vector of zeros, of a NaN or of an infinity has no direction.
    """
    is_ready = isinstance(values, array) and values.typecode == "f"
    numbers = values if is_ready else list(values)
    # A fifth of the time of a sum of squares in Python.
    length = math.hypot(*numbers)
    if not 0.0 < length < math.inf:
        raise ValueError("a vector is all zeros, or is not of numbers")
    if abs(length - 1.0) < 1e-6:
        return array("f", numbers)
    return array("f", [value / length for value in numbers])


def check_texts(texts: Sequence[str]) -> None:
    """Raise `UsageError`, with the place of the text, for texts without meaning: blank, or not a `str`."""
    if isinstance(texts, str | bytes):
        raise UsageError("the texts to embed are one string", hint="Give a list of texts: [...].")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"text {place} to embed is a {type(text).__name__}", hint="Give texts.")
        if not text or text.isspace():
            raise UsageError(f"text {place} to embed is blank", hint="Leave blank texts out; they mean nothing.")
